"""The wheel outside of a clone: `init`, `validate` and the demo from what the wheel brought."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT, environment

PATIENCE_S = 240


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel installed, which comes before this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT)]
    subprocess.run(built, check=True, capture_output=True, timeout=PATIENCE_S)
    (wheel,) = folder.glob("convergence_pipelines-*.whl")
    installed = [*pip, "install", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel)]
    subprocess.run(installed, check=True, capture_output=True, timeout=PATIENCE_S)
    return folder / "site"


def call(site: Path, cwd: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "convergence", *words],
        cwd=cwd, env=environment(PYTHONPATH=str(site)), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_project_is_made_checked_and_runs_the_demo(site: Path, tmp_path: Path) -> None:
    call(site, tmp_path, "init", "costs")
    costs = tmp_path / "costs"
    shipped = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*") if path.is_file()}
    assert {path.relative_to(costs / "configs") for path in (costs / "configs").rglob("*") if path.is_file()} == shipped
    assert ".convergence/" in (costs / ".gitignore").read_text()
    (schema,) = json.loads((costs / ".vscode" / "settings.json").read_text())["yaml.schemas"]
    assert (costs / schema).exists()
    example = yaml.safe_load((costs / ".github" / "workflows" / "pipelines.yml").read_text())
    assert example["jobs"]["validate"]["steps"][-1]["run"] == "convergence validate"
    call(site, costs, "validate")
    assert "convert_focus             completed" in call(site, costs, "demo")
    assert "is not empty" in call(site, tmp_path, "init", "costs", code=2)


def test_the_smallest_project_has_one_pipeline_and_validates(site: Path, tmp_path: Path) -> None:
    call(site, tmp_path, "init", "--minimal", "small")
    small = tmp_path / "small"
    assert [path.name for path in (small / "configs").rglob("*.yml")] == ["hello.yml"]
    call(site, small, "validate")
