"""What the death of a process says about the steps that it ran (design: docs/engine.md §13)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.crashes import RELEASED, count_crash, crash_report, suspect
from convergence.domain.records import changed
from convergence.domain.status import StepStatus
from convergence.domain.step import Step
from tests.unit.domain.runs import T0

RUNNING = Step(step_id="s", status=StepStatus.RUNNING, lease_owner="boot1", lease_until=T0)


@pytest.mark.parametrize(
    ("proven", "isolated", "counts"),
    [(False, False, (1, 0, 0)), (True, False, (1, 1, 0)), (False, True, (1, 0, 0)), (True, True, (1, 1, 1))],
)
def test_only_a_proven_process_makes_a_suspect_and_only_alone_it_counts(
    proven: bool, isolated: bool, counts: tuple[int, int, int]
) -> None:
    found = changed(RUNNING, **count_crash(replace(RUNNING, lease_proven=proven, lease_isolated=isolated), T0))
    assert (found.crashes, found.crashes_when_proven, found.crashes_when_isolated) == counts
    assert (found.lease_owner, found.lease_until, found.lease_proven, found.lease_isolated) == ("", None, False, False)


def test_a_step_rests_twice_as_long_after_each_crash_up_to_a_minute() -> None:
    step, rests = RUNNING, []
    for _ in range(9):
        step = changed(step, **count_crash(step, T0))
        assert step.not_before is not None
        rests.append((step.not_before - T0) / timedelta(seconds=1))
    assert rests == [2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_two_deaths_of_proven_processes_make_a_suspect_until_an_owner_commits() -> None:
    step = replace(RUNNING, crashes=7, crashes_when_proven=1)
    assert not suspect(step)
    step = changed(step, **count_crash(replace(step, lease_proven=True), T0))
    assert suspect(step)
    cleared = changed(step, **RELEASED)
    assert (cleared.crashes, cleared.crashes_when_proven, cleared.crashes_when_isolated) == (0, 0, 0)


def test_messages_say_how_often() -> None:
    assert crash_report(replace(RUNNING, crashes=1)) == "its process died once"
    dead = replace(RUNNING, crashes=7, crashes_when_isolated=5)
    assert crash_report(dead) == "its process died 7 times, 5 of them while it ran alone"


def stored(**changes: Any) -> dict[str, Any]:
    """Return a step document as the release before wrote it."""
    new = {"lease_proven", "lease_isolated", "crashes", "crashes_when_proven", "crashes_when_isolated"}
    data = {name: value for name, value in RUNNING.to_data().items() if name not in new}
    return data | {"claims": 1, "children": ["t"]} | changes


@pytest.mark.parametrize(("claims", "crashes"), [(0, 0), (1, 0), (2, 1), (4, 3)])
def test_a_document_that_counts_executions_begun_is_read(claims: int, crashes: int) -> None:
    assert Step.from_data(stored(claims=claims)) == replace(RUNNING, crashes=crashes)
