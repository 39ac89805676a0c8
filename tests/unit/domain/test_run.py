"""When a run began and ended, how long it was at work, and whether a step warned."""

from __future__ import annotations

from datetime import timedelta

import pytest

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


def test_a_run_began_when_it_ran_first_and_has_no_end_while_it_is_replayed() -> None:
    failed = moved(moved(moved(a_run(), RunStatus.VALIDATING, 1), RunStatus.RUNNING, 2), RunStatus.FAILED, 3)
    assert (failed.started_at, failed.finished_at) == (T0 + 2 * MINUTE, T0 + 3 * MINUTE)
    again = moved(failed, RunStatus.RUNNING, 9)
    assert (again.started_at, again.finished_at) == (T0 + 2 * MINUTE, None)
    assert moved(a_run(), RunStatus.CANCELLED, 1).started_at is None


def test_warnings_are_counted_anew_after_each_move() -> None:
    warned = changed(a_run(RunStatus.FAILED), with_warnings=True)
    assert moved(warned, RunStatus.RUNNING, 1).with_warnings is False


@pytest.mark.parametrize(
    ("status", "warnings", "shown"),
    [
        (RunStatus.COMPLETED, ("late",), "completed_with_warnings"),
        (RunStatus.COMPLETED, (), "completed"),
        (RunStatus.FAILED, ("late",), "failed"),
    ],
)
def test_a_run_that_an_earlier_release_stored_warned_if_it_completed_with_warnings(
    status: RunStatus, warnings: tuple[str, ...], shown: str
) -> None:
    data = changed(a_run(status), warnings=warnings).to_data()
    assert Run.from_data(data).outcome == status.value, "what says that no step warned is believed"
    del data["with_warnings"]
    assert Run.from_data(data).outcome == shown
    del data["warnings"]
    assert Run.from_data(data).outcome == status.value
