"""The page about scale says what nights on the engine measured, and what is shipped stays below its goal."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from infra.project import ROOT
from tests.bench.fleet.night import Night
from tests.bench.fleet.report import MEASURED, figures, table
from tests.bench.fleet.scenario import ORGS, PIPELINES, SCENARIOS, STEPS, Scenario
from tests.bench.fleet.usage import GOAL

FOUND = orjson.loads(MEASURED.read_bytes())
OVER = {"no jitter": 1.1}  # of Firestore's ramp: what the jitter is for
SHIPPED = Scenario()


def test_the_page_has_what_was_measured() -> None:
    assert table(FOUND) in (ROOT / "docs" / "scale.md").read_text("utf-8"), table(FOUND)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_run_of_a_measured_night_completed(name: str) -> None:
    found, asked = FOUND[name], ORGS * PIPELINES + SCENARIOS[name].crowd
    assert (found["runs"], found["completed"], found["errors"]) == (asked, asked, 0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_shipped_stays_below_the_goal(name: str) -> None:
    assert max(FOUND[name]["peaks"].values()) <= OVER.get(name, GOAL), FOUND[name]["peaks"]


def test_a_night_needs_as_many_documents_as_when_it_was_measured(tmp_path: Path) -> None:
    """A few orgs on the engine as it is: what a run and its steps cost has not moved away from the page."""
    night = Night(Scenario(outage=(7 * 3_600, 8 * 3_600), runs_max=6), 60, tmp_path)
    night.play()
    found = figures(night)
    assert (found["runs"], found["completed"], found["errors"]) == (180, 180, 0)
    assert found["steps"] > 180 * len(STEPS), "those that failed ran again"
    assert night.usage.written_max.most_common(1)[0][1] < 60


def test_the_nights_have_the_shipped_settings() -> None:
    settings = (ROOT / "infra" / "functions.tf").read_text()
    assert f'CONVERGENCE_RUNS_MAX = "{SHIPPED.runs_max}"' in settings
    # deepseek/cost/balance.yml has no jitter: a balance is read in the day's last minutes.
    enabled = [path for path in (ROOT / "configs").rglob("*.yml") if _enabled(path) and path.name != "balance.yml"]
    assert enabled
    for path in enabled:
        assert f"jitter_minutes: {SHIPPED.jitter_s // 60}" in path.read_text(), path


def _enabled(path: Path) -> bool:
    _, _, schedule = path.read_text().partition("\nschedule:\n")
    return "enabled: true" in schedule.split("\n\n")[0]
