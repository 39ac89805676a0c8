"""The demo of all pipelines, twice in one data directory: once for each process that tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PATIENCE_S, Installation
from tests.unit.processors.expected_costs import FIRST, LAST

DAYS = ("--start", FIRST.isoformat(), "--end", LAST.isoformat())
CHARGES = (
    "SELECT x_Provider AS provider, BillingCurrency AS currency, COUNT(*) AS charges, SUM(BilledCost) AS billed,"
    " SUM(EffectiveCost) AS effective FROM cost_data_standard_1_3 GROUP BY 1, 2 ORDER BY 1, 2"
)


class Everything(Installation):
    """An installation on which the demo of all pipelines ran twice: first for the screen, then for a program."""

    patience_s = 5 * PATIENCE_S  # all pipelines in one command

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.screen = self.call("demo", "--all", *DAYS).stdout
        self.first = self.json("query", "demo", CHARGES)["rows"]
        self.second = self.json("demo", "--all", *DAYS)

    def by_name(self) -> dict[str, Any]:
        return {each["pipeline"]: each for each in self.second["pipelines"]}


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    return Everything(tmp_path_factory.mktemp("all") / "data")
