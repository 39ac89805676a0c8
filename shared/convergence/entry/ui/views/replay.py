"""What a replay does: which steps it does again, which it keeps, which parameters can be edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from convergence.config.model.pipeline import ParameterSpec
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.step import Step
from convergence.engine.services import Services
from convergence.engine.store import StoredStep, read_all_steps, read_plan, require_run
from convergence.entry.ui.formats import counted
from convergence.errors import ConfigErrors, InvalidInput, NotFound

DAYS: Final = frozenset({"date", "start_date", "end_date"})  # parameters that every run has
_RANGE: Final = {
    "start_date": "The first day that the run covers.",
    "end_date": "The last day that the run covers.",
}


@dataclass(frozen=True, slots=True)
class StepEffect:
    """What a replay does with one step. `rows`: what it has written so far."""

    step_id: str
    table: str
    again: bool
    rows: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What a replay does with all steps."""

    steps: Sequence[StepEffect]

    @property
    def again(self) -> int:
        """How many steps are done again."""
        return sum(step.again for step in self.steps)

    @property
    def kept(self) -> int:
        """How many are kept."""
        return len(self.steps) - self.again

    @property
    def replaced(self) -> int:
        """How many slices of tables are written by the steps that are done again."""
        return len({step.table for step in self.steps if step.again and step.table})

    @property
    def rows_kept(self) -> int:
        """How many rows the kept steps wrote."""
        return sum(step.rows for step in self.steps if not step.again)

    @property
    def sentence(self) -> str:
        """What the replay will do, in words."""
        steps, slices = counted(self.again, "step"), counted(self.replaced, "slice")
        kept = counted(self.kept, "completed step")
        return f"Does {steps} again and replaces {slices}. Keeps {kept} with {counted(self.rows_kept, 'row')}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Editable:
    """A parameter in the form: what the run had, what the form holds now. A secret's value is never shown."""

    name: str
    type: str
    description: str
    allowed: Sequence[str]
    before: str
    value: str
    secret: bool
    required: bool

    @property
    def changed(self) -> bool:
        """True when the replay would have another value."""
        return self.value != self.before


def effects(plan: Plan, stored: Mapping[str, StoredStep]) -> Effect:
    """Return what a replay of the pinned plan does."""
    return Effect([_effect(step, stored.get(step.step_id)) for step in plan.graph])


async def effect_of(services: Services, org: str, run_id: str) -> Effect:
    """Return what a replay of a run does. Raises `NotFound`."""
    run = (await require_run(services, org, run_id)).run
    return effects(await read_plan(services, run), await read_all_steps(services, run))


async def editable(services: Services, org: str, run_id: str, given: Mapping[str, str]) -> list[Editable]:
    """Return the parameters of a run for its form; `given` are values that were sent already. Raises `NotFound`.

    Raises:
        InvalidInput: the pipeline's file is gone or broken, so nothing can be edited.
    """
    run = (await require_run(services, org, run_id)).run
    try:
        specs = dict(services.catalog.get(run.pipeline).pipeline.parameters)
    except (NotFound, ConfigErrors) as error:
        raise InvalidInput(f"the parameters cannot be edited: {error}") from error
    if specs.keys().isdisjoint(DAYS):  # else the pipeline's own parameters decide about its days
        specs |= {name: ParameterSpec(type="date", description=text) for name, text in _RANGE.items()}
    return [_editable(name, spec, run.parameters.get(name), given) for name, spec in specs.items()]


def changes(fields: Sequence[Editable]) -> dict[str, Any]:
    """Return the edited parameters as text, which the engine reads by their types."""
    return {field.name: field.value for field in fields if field.changed}


def as_text(value: Any) -> str:
    """Return a parameter's value as a form field holds it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _editable(name: str, spec: ParameterSpec, had: Any, given: Mapping[str, str]) -> Editable:
    secret = spec.type == "secret"
    before = "" if secret else as_text(had)
    return Editable(
        name=name,
        type=spec.type,
        description=spec.description,
        allowed=choices(spec),
        before=before,
        value=given.get(f"p.{name}", before),
        secret=secret,
        required=spec.required,
    )


def choices(spec: ParameterSpec) -> list[str]:
    """Return the values that a parameter can have, empty when any is allowed."""
    if spec.allowed is not None:
        return [as_text(each) for each in spec.allowed]
    return ["true", "false"] if spec.type == "boolean" else []


def _effect(planned: PlanStep, known: StoredStep | None) -> StepEffect:
    step = Step(step_id=planned.step_id) if known is None else known.step
    destination = planned.config.get("destination")
    table = destination.get("table") if isinstance(destination, Mapping) else None
    return StepEffect(
        planned.step_id,
        table if isinstance(table, str) else "",
        not step.done,
        int((step.result or {}).get("rows_written") or 0),
    )
