"""What a function's package holds, and that the same input makes the same bytes."""

from __future__ import annotations

import ast
import re
import zipfile
from pathlib import Path

import pytest

from infra.packages import API_ONLY, EDITORS, LEFT_OUT, SOURCE_MAX, Package, build
from infra.project import LOCKS, ROOT

NEVER = {"duckdb", "hatchling", "editables", "pathspec", "trove-classifiers", "pytest", "rich", "uvloop"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    return {package.function.name: package for package in build(tmp_path_factory.mktemp("packages"))}


def test_every_function_has_one(packages: dict[str, Package]) -> None:
    assert set(packages) == {path.name for path in (ROOT / "functions").iterdir() if (path / "main.py").exists()}


def test_the_same_input_makes_the_same_bytes(packages: dict[str, Package], tmp_path: Path) -> None:
    (again,) = build(tmp_path, only="step")
    assert again.digest == packages["step"].digest
    assert len({package.digest for package in packages.values()}) == len(packages)
    with zipfile.ZipFile(packages["step"].zip) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_package_has_no_embedded_mode_no_sandbox_and_no_test(packages: dict[str, Package]) -> None:
    for package in packages.values():
        files = {path.relative_to(package.folder).as_posix() for path in package.folder.rglob("*") if path.is_file()}
        code = {name for name in files if name.endswith(".py")}
        for left_out in LEFT_OUT if package.function.http == "public" else LEFT_OUT + API_ONLY:
            assert (ROOT / "shared" / "convergence" / left_out).exists(), f"{left_out}: the list names what is gone"
            assert not [name for name in code if name.startswith(f"convergence/{left_out}")]
        assert {name for name in code if "/local/" in name} == {
            "convergence/adapters/local/__init__.py",
            "convergence/adapters/local/clock.py",
        }
        assert not [name for name in files if "test" in name.lower().split("/")[0]]
        assert {"main.py", "function.yaml", "requirements.txt", "configs/system/providers.yml"} <= files
        assert package.source_bytes < SOURCE_MAX


def test_only_steps_have_seeds(packages: dict[str, Package]) -> None:
    having = {name for name, package in packages.items() if [*package.folder.glob("configs/*/seed/*.csv")]}
    assert having == {"step"}
    assert (packages["dispatcher"].folder / "configs/system/providers.yml").exists()


def test_what_only_editors_read_is_in_none(packages: dict[str, Package]) -> None:
    assert (ROOT / "configs" / EDITORS).exists()
    assert not [name for name, package in packages.items() if (package.folder / "configs" / EDITORS).exists()]


def test_nothing_in_a_package_imports_what_was_left_out(packages: dict[str, Package]) -> None:
    folder = packages["dispatcher"].folder
    inside = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.py")}
    for path in (folder / "convergence").rglob("*.py"):
        if path.parent.name == "bootstrap" and path.stem in {"__init__", "embedded", "statements"}:
            continue  # the embedded mode, which imports its parts when it is called: a function never does
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("convergence."):
                module = node.module.replace(".", "/")
                assert {module, f"{module}/__init__"} & inside, f"{path}: {node.module}"


def test_requirements_are_lines_of_the_lock_and_only_those_that_are_needed(packages: dict[str, Package]) -> None:
    lock = (LOCKS / "gcp.txt").read_text()
    for package in packages.values():
        text = (package.folder / "requirements.txt").read_text()
        assert not set(package.requirements) & NEVER
        assert text.count("==") == len(package.requirements)
        for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]:
            assert block in lock
            assert "--hash=sha256:" in block
    assert {name for name, package in packages.items() if "fastapi" in package.requirements} == {"dispatcher"}
    assert {name for name, package in packages.items() if "apprise" in package.requirements} == {"step"}


def test_configs_of_ones_own_lie_over_the_shipped_ones(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "example").mkdir(parents=True)
    (own / "example" / "hello.yml").write_text("mine")
    (own / "example" / "more.yml").write_text("more")
    (step,) = build(tmp_path / "out", own, only="step")
    assert (step.folder / "configs" / "example" / "hello.yml").read_text() == "mine"
    assert (step.folder / "configs" / "example" / "more.yml").read_text() == "more"
    assert (step.folder / "configs" / "openai" / "subscriptions.yml").exists()
