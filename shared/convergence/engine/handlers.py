"""Handler steps see how the run ended: their templates are resolved when it has."""

from __future__ import annotations

from convergence.config.resolve import resolve_handler
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.engine.services import Services


def resolved(services: Services, run: Run, plan: Plan, planned: PlanStep) -> PlanStep:
    """Return the handler with its templates filled from the run's end."""
    error = run.error or {}
    ending = {
        "status": run.status.value,
        "run_id": run.run_id,
        "error_message": error.get("message", ""),
        "failed_step": error.get("step_id") or "",
        "env": services.env,
    }
    return resolve_handler(planned, plan, {**run.parameters, **ending})
