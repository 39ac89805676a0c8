"""What a run would do, for people and programs: made from a prepared request, stores nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.domain.plan import PlanStep
from convergence.engine.prepare_run import Prepared
from convergence.engine.services import Services
from convergence.engine.views.quota import Used, used


class PlannedStep(TypedDict):
    """One step as it would run; `problem` gives the reason why it would fail."""

    step_id: str
    ps_type: str
    depends_on: list[str]
    trigger: str | None
    when: str | None
    enabled: bool
    timeout_s: float
    attempts_max: int
    on_failure: str
    config: dict[str, Any]
    problem: str | None
    where: str


class PlanView(TypedDict):
    """A run that was not started."""

    org: str
    pipeline: str
    pipeline_id: str
    dataset: str
    dates: dict[str, str]
    parameters: dict[str, Any]
    secrets: list[str]
    timeout_s: float
    limits: dict[str, Used]
    steps: list[PlannedStep]
    tables: dict[str, list[str]]
    warnings: list[str]


async def plan_view(services: Services, prepared: Prepared) -> PlanView:
    """Describe a prepared request: steps in order, limits, tables."""
    plan, org = prepared.plan, prepared.org
    loaded = services.catalog.get(plan.pipeline)
    written = {name for step in plan.steps for name in _tables(step, "destination")}
    return {
        "org": org.slug,
        "pipeline": plan.pipeline,
        "pipeline_id": plan.pipeline_id,
        "dataset": plan.core["org_dataset"],
        "dates": {"start_date": plan.core["start_date"], "end_date": plan.core["end_date"]},
        "parameters": dict(prepared.run.parameters),
        "secrets": sorted(prepared.run.sealed),
        "timeout_s": plan.timeout_s,
        "limits": await used(services, org),
        "steps": [_step(step) for step in plan.steps],
        "tables": {
            "read": sorted({name for step in plan.steps for name in _tables(step, "source")}),
            "written": sorted(written.union(loaded.pipeline.output_tables)),
        },
        "warnings": [str(warning) for warning in loaded.warnings],
    }


def _step(step: PlanStep) -> PlannedStep:
    return {
        "step_id": step.step_id,
        "ps_type": step.ps_type,
        "depends_on": list(step.depends_on),
        "trigger": step.trigger,
        "when": step.when,
        "enabled": step.enabled,
        "timeout_s": step.timeout_s,
        "attempts_max": step.attempts_max,
        "on_failure": "continue" if step.continue_on_failure else "stop",
        "config": dict(step.config),
        "problem": step.problem,
        "where": step.where,
    }


def _tables(step: PlanStep, block: str) -> Iterator[str]:
    found = step.config.get(block)
    table = found.get("table") if isinstance(found, Mapping) else None
    if isinstance(table, str):
        yield table
