"""How long a run was at work."""

from __future__ import annotations

from datetime import timedelta

from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from tests.unit.domain.runs import T0, a_run

MINUTE = timedelta(minutes=1)


def moved(run: Run, to: RunStatus, minutes: int) -> Run:
    return run.advance(to, at=T0 + minutes * MINUTE, reason="x", token="t")


def test_the_time_between_an_end_and_the_replay_after_it_does_not_count() -> None:
    run = a_run()
    for to, minutes in (
        (RunStatus.VALIDATING, 0), (RunStatus.RUNNING, 1), (RunStatus.FAILED, 3), (RunStatus.RUNNING, 60),
        (RunStatus.FAILED, 61), (RunStatus.RUNNING, 100),
    ):  # fmt: skip
        run = moved(run, to, minutes)
    assert run.lasted(T0 + 105 * MINUTE) == (3 + 1 + 5) * MINUTE
    assert moved(run, RunStatus.COMPLETED, 102).lasted(T0 + 500 * MINUTE) == (3 + 1 + 2) * MINUTE


def test_a_run_without_a_replay_lasts_from_its_acceptance_and_never_less_than_nothing() -> None:
    assert a_run().lasted(T0 + 7 * MINUTE) == 7 * MINUTE
    assert a_run().lasted(T0 - MINUTE) == timedelta()
    assert changed(a_run(), finished_at=T0 + MINUTE).lasted(T0 + 7 * MINUTE) == MINUTE
