"""Terraform in a copy of infra/, where the binary is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any, Final

import pytest

from infra.project import ROOT
from tests.infra.provider import Terraform, terraform

BINARY: Final = shutil.which("terraform")
ABSENT: Final = "no terraform on PATH: infra/ is not validated or planned, only read (tests/infra/test_files.py)"


@pytest.fixture(scope="session")
def tf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    if BINARY is None:
        pytest.skip(ABSENT)
    root = tmp_path_factory.mktemp("terraform")
    ignore = shutil.ignore_patterns(".terraform*", "__pycache__")
    shutil.copytree(ROOT / "infra", root / "infra", ignore=ignore)
    shutil.copytree(ROOT / "functions", root / "functions", ignore=ignore)
    (root / "infra" / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')  # no bucket here
    with terraform(BINARY, root / "infra") as found:
        done = found.run("init")
        assert done.returncode == 0, done.stdout + done.stderr
        yield found


@pytest.fixture(scope="session")
def plan(tf: Terraform) -> dict[str, Any]:
    """Return the planned resources of production, by address."""
    words = ["-var-file=envs/prod.tfvars", "-var=release=v1", "-var=smtp_password=true", "-out=plan"]
    done = tf.run("plan", "-input=false", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(tf.run("show", "-json", "plan").stdout)
    resources = shown["planned_values"]["root_module"]["resources"]
    return {each["address"]: each["values"] for each in resources if each["mode"] == "managed"}


def of(plan: dict[str, Any], kind: str) -> list[Any]:
    """Return the planned resources of one kind."""
    return [values for address, values in plan.items() if address.startswith(f"{kind}.")]
