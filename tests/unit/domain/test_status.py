"""All pairs of statuses against the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.run import Run
from convergence.domain.status import (
    RUN_NEXT,
    RUN_REPLAY,
    RUN_TERMINAL,
    STEP_NEXT,
    STEP_TERMINAL,
    RunStatus,
    StepStatus,
)
from convergence.domain.step import Applied, Step
from convergence.domain.times import to_text
from convergence.domain.transitions import KEPT_MAX, RawTransition, appended
from tests.unit.domain.runs import T0, a_run


@pytest.mark.parametrize("before", RunStatus)
@pytest.mark.parametrize("after", RunStatus)
def test_a_run_moves_only_along_its_table(before: RunStatus, after: RunStatus) -> None:
    run = a_run(before)
    if after in RUN_NEXT[before] or (after is RunStatus.RUNNING and before in RUN_REPLAY):
        moved = run.advance(after, at=T0, reason="test", token="t")
        assert (moved.status, moved.moves, moved.transitions[-1]) == (after, 1, (to_text(T0), after, "test"))
    else:
        with pytest.raises(AssertionError, match=f"{before} cannot become {after}"):
            run.advance(after, at=T0, reason="test", token="t")


@pytest.mark.parametrize("before", StepStatus)
@pytest.mark.parametrize("after", StepStatus)
def test_a_step_moves_only_along_its_table(before: StepStatus, after: StepStatus) -> None:
    step = Step(step_id="s", status=before)
    if after in STEP_NEXT[before]:
        moved = step.advance(after, at=T0, reason="test", token="t")
        assert (moved.status, moved.token, moved.moves) == (after, "t", 1)
    else:
        with pytest.raises(AssertionError, match=f"{before} cannot become {after}"):
            step.advance(after, at=T0, reason="test", token="t")


def test_terminal_statuses_are_those_that_lead_nowhere() -> None:
    assert frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED}) == RUN_TERMINAL
    assert frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED}) == STEP_TERMINAL


def test_a_replayed_step_forgets_all_but_its_lease_and_what_tells_its_writes_apart() -> None:
    until = T0 + timedelta(seconds=90)
    kept: dict[str, Any] = {
        "step_id": "s",
        "lease_owner": "p1",
        "lease_until": until,
        "lease_proven": True,
        "lease_isolated": True,
        "input": "digest",
        "epochs": (0,),
        "older_epochs": 1,
    }
    step = Step(
        **kept,
        status=StepStatus.FAILED,
        token="t0",
        crashes=4,
        crashes_when_proven=3,
        crashes_when_isolated=2,
        failures=3,
        not_before=T0,
        elapsed_s=60.0,
        checkpoint=5,
        stages=(1,),
        result={"rows_processed": 1},
        error={"message": "x"},
        started_at=T0,
        finished_at=T0,
        moves=2,
        writes={"append": 2},
        applied=Applied.KEEP,
    )
    again = step.replayed(epoch=1, at=T0, token="t1")
    moved: dict[str, Any] = {"status": StepStatus.RETRYING, "epoch": 1, "token": "t1", "moves": 3}
    assert again == Step(**kept, **moved, transitions=again.transitions)
    assert again.transitions[-1][1:] == (StepStatus.RETRYING, "replay 1")


@pytest.mark.parametrize("status", [StepStatus.COMPLETED, StepStatus.SKIPPED])
def test_a_finished_step_cannot_be_replayed(status: StepStatus) -> None:
    with pytest.raises(AssertionError, match="cannot be replayed"):
        Step(step_id="s", status=status).replayed(epoch=1, at=T0, token="t")


def test_documents_come_back_as_the_records_that_were_stored() -> None:
    run = a_run().advance(RunStatus.VALIDATING, at=T0, reason="accepted", token="t")
    assert Run.from_data(run.to_data()) == run
    step = Step(step_id="s", stages=(1, 2), lease_until=T0).advance(
        StepStatus.RUNNING, at=T0, reason="claimed", token="t"
    )
    assert Step.from_data(step.to_data()) == step


def test_a_long_history_keeps_its_beginning_and_its_end() -> None:
    history: Sequence[RawTransition] = ()
    for number in range(3 * KEPT_MAX):
        history = appended(history, T0 + timedelta(seconds=number), "running", str(number))
        assert len(history) == min(number + 1, KEPT_MAX)
    assert [reason for _, _, reason in history[:10]] == [str(number) for number in range(10)]
    assert [reason for _, _, reason in history[10:]] == [str(number) for number in range(110, 150)]
    assert history[-1][:2] == (to_text(T0 + timedelta(seconds=149)), "running")


def test_a_step_knows_the_epochs_in_which_it_was_claimed() -> None:
    step = Step(step_id="s", epochs=(0, 2))
    assert (step.claimed_in(3), step.claimed_in(2)) == ((0, 2, 3), (0, 2))


def test_a_lease_ends_at_its_time() -> None:
    step = Step(step_id="s", lease_until=T0)
    assert step.leased(T0 - timedelta(microseconds=1))
    assert not step.leased(T0)
    assert not Step(step_id="s").leased(T0)
