"""Every transition as one CloudEvent (CloudEvents 1.0, JSON format). Events report; they never drive a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.step import Step
from convergence.domain.times import to_text

Event = dict[str, Any]
DELAY_MS: Final = "delay_ms"  # in the data of a scheduled run's first event: from when it was due until it was accepted
COUNTED: Final = "rows counted"
PARAMETERS_MAX: Final = 64 * 1024  # characters of JSON


def run_event(run: Run) -> Event:
    """Describe the latest move of a run. The same move gives the same id, so repeats are recognised."""
    at, _, reason = run.transitions[-1]
    data: dict[str, Any] = {
        "run_id": run.run_id,
        "provider": run.provider,
        "domain": run.domain,
        "pipeline": run.pipeline,
        "pipeline_id": run.pipeline_id,
        "status": run.status,
        "why": reason,
        "epoch": run.epoch,
        "trigger": run.trigger,
        "created_by": run.created_by,
        "created_at": to_text(run.created_at),
        "parameters": _bounded(run.parameters),
    }
    if run.started_at is not None:
        data["started_at"] = to_text(run.started_at)
    if run.finished_at is not None:
        data["completed_at"] = to_text(run.finished_at)
        data["duration_ms"] = run.lasted(run.finished_at) // timedelta(milliseconds=1)
    if run.error is not None:
        data["error"] = run.error["message"]
    return _event(run, f"run.{run.status}", f"{run.run_id}#{run.moves}", at, data)


def counted_event(run: Run) -> Event:
    """Describe the run's end again with the rows that its steps read: they are counted when all steps have ended.

    Its status is `counted`, so that a count of the runs that completed in the log includes each of them once.
    """
    event = run_event(run)
    data = {
        **event["data"],
        "status": "counted",
        "why": COUNTED,
        "records_processed": int(run.totals.get("rows_processed", 0)),
    }
    return {**event, "id": f"{run.run_id}.counted#{run.moves}", "type": "run.counted", "data": data}


def _bounded(parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the parameters, which hold no secret; None for more than an event may carry (the run's document has them).

    The log reads events of 256 KiB at most.
    """
    return dict(parameters) if len(json.dumps(parameters, default=str)) <= PARAMETERS_MAX else None


def step_event(run: Run, plan: Plan, planned: PlanStep, step: Step) -> Event:
    """Describe the latest move of a step."""
    at, _, reason = step.transitions[-1]
    record = step.step_id if planned.trigger is None else f"{step.step_id}~{step.epoch}"
    data: dict[str, Any] = {
        "run_id": run.run_id,
        "pipeline": plan.pipeline,
        "pipeline_id": plan.pipeline_id,
        "step_id": step.step_id,
        "ps_type": planned.ps_type,
        "status": step.status,
        "why": reason,
        "epoch": step.epoch,
        "attempt": step.failures + 1,
    }
    if step.finished_at is not None and step.started_at is not None:
        data["duration_ms"] = _ms(step.started_at, step.finished_at)
    if step.result is not None:
        data["rows_processed"] = step.result.get("rows_processed")
        data["rows_written"] = step.result.get("rows_written")
    if step.error is not None:
        data["error"] = step.error["message"]
    return _event(run, f"step.{step.status}", f"{run.run_id}.{record}#{step.moves}", at, data)


def _event(run: Run, kind: str, cause: str, at: str, data: dict[str, Any]) -> Event:
    return {
        "specversion": "1.0",
        "id": cause,  # document and number of the move: the same move again is the same event
        "source": f"convergence/{run.path}",
        "type": kind,
        "time": at,
        "subject": data.get("step_id", ""),
        "org": run.org,
        "data": data,
    }


def _ms(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds() * 1000)
