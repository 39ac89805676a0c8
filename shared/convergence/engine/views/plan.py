"""What a run would do, for people and programs: made from a prepared request, stores nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.domain.plan import PlanStep
from convergence.engine.prepare_run import Prepared
from convergence.engine.services import Services
from convergence.engine.views.quota import Used, used

_NAME: Final = r"[A-Za-z_][\w-]*+(?:`?\.`?[A-Za-z_][\w-]*+)*+"
_FROM: Final = re.compile(rf"\b(?:FROM|JOIN)\s++`?({_NAME})`?(?!\s*+\()", re.IGNORECASE)
_WITH: Final = re.compile(r"(?:\bWITH|,)\s++(?:RECURSIVE\s++)?([A-Za-z_]\w*+)\s++AS\s*+\(", re.IGNORECASE)
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\[\s\S])*+(?:'|\\?\Z)|--[^\n]*+|#[^\n]*+")
_PLACES: Final = ("url", "endpoint", "file", "uri")


class PlannedStep(TypedDict):
    """One step as it would run; `problem` gives the reason why it would fail, `reads` tables, files and addresses."""

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
    reads: list[str]


class DeclaredParameter(TypedDict):
    """A parameter that the file declares; `value` is what the run would have, null for a secret."""

    name: str
    type: str
    required: bool
    allowed: list[Any] | None
    description: str
    value: Any


class PlanView(TypedDict):
    """A run that was not started."""

    org: str
    pipeline: str
    pipeline_id: str
    dataset: str
    dates: dict[str, str]
    parameters: dict[str, Any]
    declared: list[DeclaredParameter]
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
        "declared": [
            {
                "name": name,
                "type": spec.type,
                "required": spec.required,
                "allowed": None if spec.allowed is None else list(spec.allowed),
                "description": spec.description,
                "value": prepared.run.parameters.get(name),
            }
            for name, spec in loaded.pipeline.parameters.items()
        ],
        "secrets": sorted(prepared.run.sealed),
        "timeout_s": plan.timeout_s,
        "limits": await used(services, org),
        "steps": [_step(step) for step in plan.steps],
        "tables": {
            "read": sorted({name for step in plan.steps for name in _tables_read(step)}),
            "written": sorted(written.union(loaded.pipeline.output_tables)),
        },
        "warnings": [str(warning) for warning in (*loaded.warnings, *(await services.statements(loaded)).warnings)],
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
        "reads": [*sorted(_tables_read(step)), *_places(step.config)],
    }


def _tables(step: PlanStep, block: str) -> Iterator[str]:
    found = step.config.get(block)
    table = found.get("table") if isinstance(found, Mapping) else None
    if isinstance(table, str):
        yield table


def _tables_read(step: PlanStep) -> set[str]:
    """Return the tables that a step reads: its source, and those after FROM and JOIN in its SQL."""
    return {*_tables(step, "source"), *(name for sql in _statements(step.config) for name in tables_of(sql))}


def tables_of(sql: str) -> set[str]:
    """Return the names of tables after FROM and JOIN, without dataset; those of its own WITH are left out."""
    text = _QUOTED.sub(" ", sql)
    own = {name.lower() for name in _WITH.findall(text)}
    found = {name.replace("`", "").rpartition(".")[2] for name in _FROM.findall(text)}
    return {name for name in found if name.lower() not in own | {"unnest"}}


def _statements(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("sql"), str):
            yield value["sql"]
        for inner in value.values():
            yield from _statements(inner)


def _places(config: Mapping[str, Any]) -> Iterator[str]:
    for block in (config, config.get("source")):
        if isinstance(block, Mapping):
            yield from (place for name in _PLACES if isinstance(place := block.get(name), str) and place)
