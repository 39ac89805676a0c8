"""Every transition as one CloudEvent (CloudEvents 1.0, JSON format). Events report; they never drive a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.step import Step

Event = dict[str, Any]
DELAY_MS: Final = "delay_ms"  # in the data of a scheduled run's first event: from when it was due until it was accepted


def run_event(run: Run) -> Event:
    """Describe the latest move of a run. The same move gives the same id, so repeats are recognised."""
    at, _, reason = run.transitions[-1]
    data: dict[str, Any] = {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "pipeline_id": run.pipeline_id,
        "status": run.status,
        "why": reason,
        "epoch": run.epoch,
        "trigger": run.trigger,
    }
    if run.finished_at is not None:
        data["duration_ms"] = _ms(run.created_at, run.finished_at)
    if run.error is not None:
        data["error"] = run.error["message"]
    return _event(run, f"run.{run.status}", f"{run.run_id}#{run.moves}", at, data)


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
