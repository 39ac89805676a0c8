"""The command line in this process: real adapters in a temporary folder, a copy of the configs beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from convergence.bootstrap import installation
from convergence.engine.views.models import StepView
from convergence.entry.cli.main import run

CONFIGS = Path(__file__).parents[3] / "configs"

GOOD_FILE = "file=openai/seed/subscription_plans.csv"
LOAD = """
pipeline_id: "{org_slug}-shop-load"
provider: shop
parameters:
  file: {type: string, default: openai/seed/missing.csv}
steps:
  - step_id: look
    ps_type: generic.noop
  - step_id: load_plans
    ps_type: openai.seed_csv
    depends_on: [look]
    source: {file: "{file}"}
    destination: {table: openai_subscription_plans}
"""
SECRET = """
pipeline_id: "{org_slug}-shop-key"
provider: shop
parameters:
  api_key: {type: secret, required: true, description: The shop's key}
steps:
  - step_id: store
    ps_type: integrations.kms_store
    config: {provider: shop}
"""


@dataclass(frozen=True)
class CliResult:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """stdout as JSON."""
        return json.loads(self.out)


Cli = Callable[..., CliResult]


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A configs folder of one's own: the product's, and a shop's."""
    root = shutil.copytree(CONFIGS, tmp_path / "configs")
    (root / "shop").mkdir()
    (root / "shop" / "load.yml").write_text(LOAD)
    (root / "shop" / "key.yml").write_text(SECRET)
    return root


@pytest.fixture
def cli(tmp_path: Path, configs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that calls the command in `tmp_path`, where `.convergence` and `configs` are."""
    monkeypatch.chdir(tmp_path)
    for name in ("CONVERGENCE_DATA_DIR", "CONVERGENCE_CONFIGS", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)

    def call(*argv: str) -> CliResult:
        capsys.readouterr()
        code = run(installation(), argv)
        captured = capsys.readouterr()
        return CliResult(code, captured.out, captured.err)

    return call


@pytest.fixture
def acme(cli: Cli) -> Cli:
    """The command, with an org `acme`."""
    assert cli("org", "create", "acme").code == 0
    return cli


def a_step(step_id: str, status: str) -> StepView:
    """Return a step as the views show it."""
    return {
        "step_id": step_id, "ps_type": "x", "status": status, "trigger": None, "attempts": 1, "attempts_max": 3,
        "started_at": None, "completed_at": None, "duration_ms": 1500, "rows_processed": 0, "rows_written": 0,
        "error_message": None, "error_code": None, "crashes": 0, "crashes_when_proven": 0, "crashes_when_isolated": 0,
        "next_attempt_at": None, "balance": None,
    }  # fmt: skip
