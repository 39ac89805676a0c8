"""The parts of a pipeline that are the same for every run, computed once per file: order, children, templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from convergence.config.conditions import expression
from convergence.config.model.pipeline import BLOCKS, Pipeline, Step, Then
from convergence.config.sql.statement import Mistake
from convergence.config.sql.values import SQL_TYPES, type_of
from convergence.config.templates.builtin_names import BUILT_INS, ENDING
from convergence.config.templates.compiled import Compiler, Deferred, Fill, Use, own_parameters
from convergence.config.templates.template import parse
from convergence.config.yaml.positions import KeyPath, Positions
from convergence.domain.plan import PlanStep, topological_order
from convergence.errors import ConfigError

_PINNED = frozenset({"", "variables"})  # names in `when` that the plan replaces with their values


class PreparedVariable(NamedTuple):
    """A variable, or a parameter's default with templates. `fill` is None when there is nothing to fill."""

    name: str
    value: Any
    fill: Fill | None
    uses: tuple[Use, ...]


class PreparedStep(NamedTuple):
    """A step. `fixed` has the fields that are the same for every run; `plan` is the whole step when all are."""

    position: int
    step: Step
    fixed: Mapping[str, Any]
    plan: PlanStep | None
    config: Mapping[str, Any]
    fill: Fill | None
    enabled: Fill | None
    when: expression.Expression | None  # with names that the plan replaces
    deferred: tuple[Deferred, ...]
    uses: tuple[Use, ...]


class Prepared(NamedTuple):
    """A pipeline, ready to be resolved. `mistakes` are found by reading the templates."""

    pipeline_id: Fill
    variables: tuple[PreparedVariable, ...]
    steps: tuple[PreparedStep, ...]
    uses: tuple[Use, ...]
    names: frozenset[str]  # first keys of all names used in templates
    defaults: tuple[str, ...] = ()  # parameters whose default is a template
    mistakes: tuple[ConfigError, ...] = ()
    then: Mapping[tuple[str, int], Fill] = {}  # (outcome, place in its list) → its parameters


def is_deferred(name: str) -> bool:
    """True for a name that is known when the step starts."""
    return name.startswith("results.")


def is_deferred_in_end_step(name: str) -> bool:
    """True for a name that is known when an end step starts."""
    return name.startswith("results.") or name in ENDING


def prepare(pipeline: Pipeline, positions: Positions) -> Prepared:
    """Compile a pipeline. A cycle or an unknown dependency is left to `checks`."""
    types = types_of(pipeline)
    mistakes: list[ConfigError] = []
    compiler = Compiler(is_deferred, types)
    pipeline_id = compiler.compile(pipeline.pipeline_id, ("pipeline_id",)) or (lambda _: pipeline.pipeline_id)
    uses = list(compiler.uses)
    variables = _variables(pipeline, types, positions, mistakes)
    steps = _steps(pipeline, types, positions, mistakes)
    then = _then(pipeline, compiler)
    uses += compiler.uses[len(uses) :]
    uses.extend(use for item in variables for use in item.uses)
    uses.extend(use for step in steps for use in step.uses)
    names = {use.name.partition(".")[0] for use in uses}
    for step in steps:
        if step.when is not None:
            names |= {name.path[1] for name in expression.names(step.when) if not name.path[0]}
    return Prepared(
        pipeline_id=pipeline_id,
        variables=variables,
        steps=steps,
        uses=tuple(uses),
        names=frozenset(names),
        defaults=tuple(_templated_defaults(pipeline)),
        mistakes=tuple(mistakes),
        then=then,
    )


def _then(pipeline: Pipeline, compiler: Compiler) -> dict[tuple[str, int], Fill]:
    """Compile the parameters of the runs that follow; what steps return is not known where the plan is made."""
    found: dict[tuple[str, int], Fill] = {}
    for outcome in Then.model_fields:
        for index, each in enumerate(getattr(pipeline.then, outcome)):
            at: KeyPath = ("then", outcome, index, "parameters")
            fills = [(name, compiler.compile(value, (*at, name))) for name, value in each.parameters.items()]
            live = tuple((name, fill) for name, fill in fills if fill is not None)
            if live:
                found[outcome, index] = _whole(each.parameters, live)
    return found


def types_of(pipeline: Pipeline) -> dict[str, str]:
    """Return GoogleSQL types of names. A variable that is one template has the type of what it names."""
    types = dict(BUILT_INS)
    for name, spec in pipeline.parameters.items():
        if spec.type in SQL_TYPES:
            types[name] = types[f"parameters.{name}"] = SQL_TYPES[spec.type]
    for _ in range(3):  # variables that name variables
        for name, value in pipeline.variables.items():
            template = parse(value) if isinstance(value, str) else None
            if template is None:
                types[name] = type_of(value)
            elif template.whole is None:
                types[name] = "STRING"
            elif template.whole.name != name:
                known = types.get(template.whole.name)
                types.pop(name, None) if known is None else types.update({name: known})
    return types


def _templated_defaults(pipeline: Pipeline) -> dict[str, str]:
    return {
        name: spec.default
        for name, spec in pipeline.parameters.items()
        if isinstance(spec.default, str) and parse(spec.default) is not None and name not in pipeline.variables
    }


def _variables(
    pipeline: Pipeline, types: Mapping[str, str], positions: Positions, mistakes: list[ConfigError]
) -> tuple[PreparedVariable, ...]:
    prepared: dict[str, PreparedVariable] = {}
    defaults = _templated_defaults(pipeline)
    for name, value in {**defaults, **pipeline.variables}.items():
        compiler = Compiler(lambda _: False, types)
        at: KeyPath = ("variables", name) if name in pipeline.variables else ("parameters", name, "default")
        fill = compiler.compile(value, at)
        prepared[name] = PreparedVariable(name=name, value=value, fill=fill, uses=tuple(compiler.uses))
        mistakes.extend(_located(positions, compiler.mistakes))
    edges = {
        name: [use.name.partition(".")[0] for use in item.uses if use.name.partition(".")[0] != name]
        for name, item in prepared.items()
    }
    order, cycle = topological_order(edges)
    if cycle:
        trail = " → ".join(cycle)
        at = ("variables", cycle[0]) if cycle[0] in pipeline.variables else ("parameters", cycle[0], "default")
        message = f"variables refer to each other in a circle: give one of them a value of its own: {trail}"
        mistakes.append(positions.problem(at, message))
    return tuple(prepared[name] for name in order)


def _steps(
    pipeline: Pipeline, types: Mapping[str, str], positions: Positions, mistakes: list[ConfigError]
) -> tuple[PreparedStep, ...]:
    graph = {step.step_id: step.depends_on for step in pipeline.steps if step.trigger is None}
    order, _ = topological_order(graph)
    place = {name: index for index, name in enumerate(order)}
    children: dict[str, list[str]] = {name: [] for name in graph}
    for name in order:
        for dependency in dict.fromkeys(graph[name]):
            if dependency in children:
                children[dependency].append(name)
    last = len(place)
    numbered = sorted(enumerate(pipeline.steps), key=lambda item: place.get(item[1].step_id, last))
    return tuple(
        _step(index, step, tuple(children.get(step.step_id, ())), types, positions, mistakes)
        for index, step in numbered
    )


def _step(
    index: int,
    step: Step,
    children: tuple[str, ...],
    types: Mapping[str, str],
    positions: Positions,
    mistakes: list[ConfigError],
) -> PreparedStep:
    at: KeyPath = ("steps", index)
    deferred = is_deferred if step.trigger is None else is_deferred_in_end_step
    config = {
        name: block for name in BLOCKS if name in step.model_fields_set and (block := getattr(step, name)) is not None
    }
    compiler = Compiler(deferred, types, own_parameters(config))
    fills = [(name, compiler.compile(block, (*at, name))) for name, block in config.items()]
    enabled = compiler.compile(step.enabled, (*at, "enabled"))
    when = _when(step, at, positions, mistakes)
    mistakes.extend(_located(positions, compiler.mistakes))
    live = tuple((name, fill) for name, fill in fills if fill is not None)
    named = list(expression.names(when)) if when is not None else []
    fixed: dict[str, Any] = {
        "step_id": step.step_id,
        "ps_type": step.ps_type,
        "name": step.name,
        "depends_on": tuple(dict.fromkeys(step.depends_on)),
        "children": children,
        "needs": _needs(step, compiler.uses, named),
        "timeout_s": step.timeout_s,
        "attempts_max": step.retry.max_attempts,
        "backoff_s": step.retry.backoff_seconds,
        "continue_on_failure": step.on_failure == "continue",
        "trigger": step.trigger,
        "where": positions.where(at).rpartition(":")[0],
    }
    plan = None
    if not live and enabled is None and not any(name.path[0] in _PINNED for name in named):
        text = expression.unparse(when) if when is not None else None
        plan = PlanStep(**fixed, enabled=step.enabled is True, when=text, config=config)
    return PreparedStep(
        position=index,
        step=step,
        fixed=fixed,
        plan=plan,
        config=config,
        fill=_whole(config, live) if live else None,
        enabled=enabled,
        when=when,
        deferred=tuple(compiler.deferred),
        uses=tuple(compiler.uses),
    )


def _when(step: Step, at: KeyPath, positions: Positions, mistakes: list[ConfigError]) -> expression.Expression | None:
    if step.when is None:
        return None
    try:
        return expression.parse(step.when)
    except ConfigError as error:
        mistakes.append(positions.problem((*at, "when"), error.message))
        return None


def _needs(step: Step, uses: list[Use], named: list[expression.Name]) -> tuple[str, ...]:
    """Return the steps whose results this one sees: its dependencies and those that it names."""
    results = [use.name.split(".")[1] for use in uses if use.name.startswith("results.")]
    results += [name.path[1] for name in named if name.path[0] == "results"]
    return tuple(dict.fromkeys((*step.depends_on, *results)))


def _whole(config: Mapping[str, Any], live: tuple[tuple[str, Fill], ...]) -> Fill:
    def fill(scope: Mapping[str, Any]) -> dict[str, Any]:
        copy = dict(config)
        for name, inner in live:
            copy[name] = inner(scope)
        return copy

    return fill


def _located(positions: Positions, mistakes: list[tuple[KeyPath, Mistake]]) -> list[ConfigError]:
    return [positions.problem(path, mistake.message, line=mistake.line) for path, mistake in mistakes]
