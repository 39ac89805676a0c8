"""What an event says, field by field: subscribers read these names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.events import PARAMETERS_MAX, counted_event, run_event, step_event
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.status import RunStatus, StepStatus
from convergence.domain.step import Step
from convergence.domain.times import to_text
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


def test_an_event_of_a_run_tells_its_move_and_what_the_run_is() -> None:
    run = replace(a_run(RunStatus.VALIDATING), parameters={"date": "2026-01-01"}, domain="b", created_by="key_1")
    run = run.advance(RunStatus.RUNNING, at=T0 + timedelta(seconds=1), reason="published", token="t")
    ends = T0 + timedelta(seconds=2, microseconds=700)
    run = run.advance(RunStatus.FAILED, at=ends, reason="s failed", token="t")
    event = run_event(replace(run, error={"message": "no", "code": "c"}))
    assert (event["id"], event["type"], event["subject"]) == ("r1#2", "run.failed", "")
    assert event["data"] == {
        "run_id": "r1",
        "pipeline": "a/b",
        "pipeline_id": "acme-b",
        "status": "failed",
        "why": "s failed",
        "epoch": 0,
        "trigger": "manual",
        "provider": run.provider,
        "domain": "b",
        "created_by": "key_1",
        "created_at": to_text(run.created_at),
        "started_at": to_text(T0 + timedelta(seconds=1)),
        "completed_at": to_text(ends),
        "parameters": {"date": "2026-01-01"},
        "duration_ms": 2000,
        "error": "no",
    }


def test_parameters_that_are_too_large_for_an_event_are_left_to_the_document() -> None:
    run = replace(a_run().advance(RunStatus.RUNNING, at=T0, reason="r", token="t"), parameters={"a": "x" * 70_000})
    assert run_event(run)["data"]["parameters"] is None
    largest = {"a": "x" * (PARAMETERS_MAX - len('{"a": ""}'))}
    assert run_event(replace(run, parameters=largest))["data"]["parameters"] == largest


def test_the_end_is_told_again_with_the_rows_that_were_read() -> None:
    ended = a_run(RunStatus.RUNNING).advance(RunStatus.COMPLETED, at=T0, reason="all steps done", token="t")
    first, again = run_event(ended), counted_event(replace(ended, totals={"rows_processed": 7}))
    assert (again["type"], again["time"]) == ("run.counted", first["time"])
    assert again["id"] != first["id"]
    assert again["data"] == {**first["data"], "status": "counted", "why": "rows counted", "records_processed": 7}
    assert counted_event(ended)["data"]["records_processed"] == 0, "its steps read no rows"
