"""End steps: their templates may name the run's outcome, so they are resolved when it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.config.resolve import resolve_end_step
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.engine.step.cooldown import rested
from convergence.engine.store import read_all_steps


async def resolved(services: Services, run: Run, plan: Plan, planned: PlanStep) -> PlanStep:
    """Return the end step with its templates filled from the run's outcome and the results of its steps."""
    steps = await read_all_steps(services, run) if planned.deferred else {}
    results = {name: stored.step.result or {} for name, stored in steps.items()}
    return await rested(services, run, resolve_end_step(planned, plan, {**run.parameters, **_ending(run, results)}))


def _ending(run: Run, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    error = run.error or {}
    finished_at = run.finished_at or run.created_at
    return {
        "status": run.status.value,
        "run_id": run.run_id,
        "error_message": error.get("message", ""),
        "error_code": error.get("code", ""),
        "failed_step": error.get("step_id") or "",
        "started_at": to_text(run.started_at or run.created_at),
        "finished_at": to_text(finished_at),
        "duration_seconds": round(run.lasted(finished_at).total_seconds(), 3),
        "records_processed": sum(int(result.get("rows_processed") or 0) for result in results.values()),
        "results": results,
    }
