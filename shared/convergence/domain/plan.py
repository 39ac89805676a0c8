"""The pinned plan of a run: its steps and their dependencies. Immutable once stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, Self

from convergence.domain.records import from_stored

Trigger = Literal["on_failure", "on_success", "on_completion", "always"]


@dataclass(frozen=True, kw_only=True)
class PlanStep:
    """One resolved step. Times in seconds.

    `config` is passed to the processor: `{"config": …, "source": …, "destination": …, "transform": …}` with the keys
    that the author wrote, templates resolved. `problem` is set instead when a template could not be resolved (the org's
    profile lacks a value): the step fails with it if it starts. `deferred` are the strings in `config` that are known
    only when the step starts (`config/templates/deferred.py`), in end steps (`trigger` is set) also those that describe
    how the run ended. `needs` are the ancestors whose results the step sees: its dependencies and those that its
    templates name.
    """

    step_id: str
    ps_type: str
    name: str = ""
    depends_on: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    timeout_s: float = 600.0
    attempts_max: int = 1
    backoff_s: float = 1.0
    continue_on_failure: bool = False
    enabled: bool = True
    when: str | None = None
    trigger: Trigger | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    deferred: tuple[Any, ...] = ()
    problem: str | None = None
    where: str = ""  # file:line

    @cached_property
    def data(self) -> dict[str, Any]:
        """The step as JSON, fields at their default left out. A step without templates is shared by all plans."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in _FIELDS
            if (value := getattr(self, name)) != _DEFAULTS.get(name, _MISSING)
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        config = data.get("config", {})
        if "deferred" not in data and _OLDER_DEFERRED in config:
            kept = {key: value for key, value in config.items() if key != _OLDER_DEFERRED}
            data = {**data, "config": kept, "deferred": config[_OLDER_DEFERRED]}
        return from_stored(cls, data)


_OLDER_DEFERRED = "pending"  # where releases before 0.2 kept deferred texts, among the author's keys
_MISSING = object()
_FIELDS = tuple(field.name for field in fields(PlanStep))
_DEFAULTS: dict[str, Any] = {
    name: getattr(PlanStep(step_id="", ps_type=""), name) for name in _FIELDS if name not in {"step_id", "ps_type"}
}


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which they could run one by one; end steps come last."""

    pipeline: str  # path under configs/, for example `openai/cost/usage_cost`
    pipeline_id: str
    digest: str  # of the pipeline file
    provider: str
    domain: str
    timeout_s: float
    steps: tuple[PlanStep, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    core: Mapping[str, Any] = field(default_factory=dict)  # resolved built-ins: dates, env, dataset, …
    # Outcome (on_success, on_failure) → what runs then: {pipeline, parameters}.
    then: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @cached_property
    def by_id(self) -> dict[str, PlanStep]:
        """Steps by their id."""
        return {step.step_id: step for step in self.steps}

    @cached_property
    def graph(self) -> tuple[PlanStep, ...]:
        """The steps that decide the run: all but end steps."""
        return tuple(step for step in self.steps if step.trigger is None)

    @cached_property
    def roots(self) -> tuple[PlanStep, ...]:
        """Steps without dependencies."""
        return tuple(step for step in self.graph if not step.depends_on)

    @cached_property
    def sinks(self) -> tuple[PlanStep, ...]:
        """Steps without dependents: when all of them are done, the run is."""
        return tuple(step for step in self.graph if not step.children)

    @cached_property
    def sink_ids(self) -> tuple[str, ...]:
        """The ids of `sinks`."""
        return tuple(step.step_id for step in self.sinks)

    @cached_property
    def end_steps(self) -> tuple[PlanStep, ...]:
        """Steps outside the graph, started once when the run is terminal."""
        return tuple(step for step in self.steps if step.trigger is not None)

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        then = {"then": self.then} if self.then else {}
        return then | {
            "pipeline": self.pipeline,
            "pipeline_id": self.pipeline_id,
            "digest": self.digest,
            "provider": self.provider,
            "domain": self.domain,
            "timeout_s": self.timeout_s,
            "steps": [step.data for step in self.steps],
            "variables": self.variables,
            "core": self.core,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def topological_order(depends_on: Mapping[str, Iterable[str]]) -> tuple[list[str], list[str]]:
    """Return (order, rest): names so that each comes after its dependencies, ties in the given order.

    `rest` is empty unless there is a cycle; then it is one cycle, first name repeated at the end.
    Dependencies that are not names are ignored. Time and memory: O(names + dependencies).
    """
    waiting = {name: {dep for dep in deps if dep in depends_on} for name, deps in depends_on.items()}
    children: dict[str, list[str]] = {name: [] for name in depends_on}
    for name, deps in waiting.items():
        for dep in deps:
            children[dep].append(name)
    ready = [name for name, deps in waiting.items() if not deps]
    order: list[str] = []
    for name in ready:  # grows while it is read
        order.append(name)
        for child in children[name]:
            waiting[child].discard(name)
            if not waiting[child]:
                ready.append(child)
    if len(order) == len(waiting):
        return order, []
    return order, _one_cycle({name: deps for name, deps in waiting.items() if deps})


def _one_cycle(waiting: Mapping[str, set[str]]) -> list[str]:
    trail: list[str] = []
    name = next(iter(waiting))
    while name not in trail:
        trail.append(name)
        name = next(dep for dep in sorted(waiting[name]) if dep in waiting)
    return [*trail[trail.index(name) :], name]
