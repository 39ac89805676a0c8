"""What an event says, field by field: subscribers read these names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.events import run_event, step_event
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.status import RunStatus, StepStatus
from convergence.domain.step import Step
from tests.unit.domain.runs import T0, a_run

GRAPH_STEP = PlanStep(step_id="load", ps_type="shop.load")
END_STEP = replace(GRAPH_STEP, trigger="on_failure")
PLAN = Plan("a/b", "acme-b", "digest", "a", "b", 60.0, (GRAPH_STEP,), {}, {})


def the_step(**changes: Any) -> Step:
    began = Step(step_id="load", started_at=T0, epoch=2, failures=1)
    step = began.advance(StepStatus.RUNNING, at=T0, reason="claimed", token="t")
    return replace(step.advance(StepStatus.COMPLETED, at=T0, reason="done", token="u"), **changes)


@pytest.mark.parametrize(("planned", "record"), [(GRAPH_STEP, "load"), (END_STEP, "load~2")])
def test_an_event_of_a_step_tells_its_move_and_nothing_else(planned: PlanStep, record: str) -> None:
    ended = the_step(
        finished_at=T0 + timedelta(milliseconds=1500),
        result={"rows_processed": 7, "rows_written": 5, "secret": "x"},
        error={"message": "tolerated", "code": "c"},
    )
    event = step_event(a_run(), PLAN, planned, ended)
    assert event["data"] == {
        "run_id": "r1",
        "pipeline": "a/b",
        "pipeline_id": "acme-b",
        "step_id": "load",
        "ps_type": "shop.load",
        "status": "completed",
        "why": "done",
        "epoch": 2,
        "attempt": 2,
        "duration_ms": 1500,
        "rows_processed": 7,
        "rows_written": 5,
        "error": "tolerated",
    }
    head = {name: value for name, value in event.items() if name not in ("data", "time")}
    assert head == {
        "specversion": "1.0",
        "id": f"r1.{record}#2",
        "source": "convergence/runs/r1",
        "type": "step.completed",
        "subject": "load",
        "org": "acme",
    }
    assert event["time"] == ended.transitions[-1][0]


def test_an_event_of_a_step_without_result_or_end_leaves_them_out() -> None:
    data = step_event(a_run(), PLAN, GRAPH_STEP, the_step())["data"]
    assert data.keys() == {
        "run_id", "pipeline", "pipeline_id", "step_id", "ps_type", "status", "why", "epoch", "attempt",
    }  # fmt: skip


def test_an_event_of_a_run_tells_its_move_and_nothing_else() -> None:
    run = a_run(RunStatus.RUNNING).advance(RunStatus.FAILED, at=T0 + timedelta(seconds=2), reason="s failed", token="t")
    event = run_event(replace(run, error={"message": "no", "code": "c"}))
    assert (event["id"], event["type"], event["subject"]) == ("r1#1", "run.failed", "")
    assert event["data"] == {
        "run_id": "r1",
        "pipeline": "a/b",
        "pipeline_id": "acme-b",
        "status": "failed",
        "why": "s failed",
        "epoch": 0,
        "trigger": "manual",
        "duration_ms": 2000,
        "error": "no",
    }
