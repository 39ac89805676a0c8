"""The page about scale says what the model gives, and what is shipped stays below its goal."""

from __future__ import annotations

import re
from pathlib import Path

from infra.project import ROOT
from tests.bench import fleet

PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")
# deepseek/cost/balance.yml has no jitter: a balance is read in the day's last minutes.
BARE = {"no jitter", "no jitter, no cap"}


def row(name: str) -> list[float]:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    return [int(share) / 100 for share in re.findall(r"(\d+)%", line)]


def test_an_ordinary_night_is_computed() -> None:
    found = fleet.measure_one(fleet.SCENARIOS["an ordinary night"])
    assert row("an ordinary night") == list(found["peaks"].values())
    assert found["runs"] == fleet.ORGS * fleet.PIPELINES


def test_what_is_shipped_stays_below_the_goal_in_every_night_of_the_page() -> None:
    for name in fleet.SCENARIOS:
        assert (max(row(name)) <= fleet.GOAL) == (name not in BARE), name


def test_the_model_has_the_shipped_settings() -> None:
    settings = (ROOT / "infra" / "functions.tf").read_text()
    assert f'CONVERGENCE_RUNS_MAX = "{fleet.Scenario().runs_max}"' in settings
    enabled = [path for path in (ROOT / "configs").rglob("*.yml") if _enabled(path) and path.name != "balance.yml"]
    assert enabled
    for path in enabled:
        assert f"jitter_minutes: {fleet.Scenario().jitter_s // 60}" in path.read_text(), path


def _enabled(path: Path) -> bool:
    _, _, schedule = path.read_text().partition("\nschedule:\n")
    return "enabled: true" in schedule.split("\n\n")[0]
