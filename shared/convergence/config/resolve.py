"""Turns a pipeline and a request into the pinned plan: every template filled, steps in order.

What is the same for every run was prepared once (`prepare`); here only the templates are filled, so a plan of
four steps takes microseconds. Parts without templates are shared between plans and must not be changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from convergence.config.conditions import expression
from convergence.config.cron import zone
from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import Then
from convergence.config.parameters.dates import date_names
from convergence.config.prepare import PreparedStep, is_deferred, is_deferred_in_end_step
from convergence.config.templates.builtin_names import BUILT_INS, IMPLICIT_PARAMETERS
from convergence.config.templates.compiled import Scope, Use
from convergence.config.templates.deferred import deferred_texts, resolve_end_step, resolve_results
from convergence.config.templates.missing_names import MissingNames
from convergence.config.templates.sizes import PLAN_MAX, TooLarge, Values, Weights
from convergence.config.templates.template import NoValue, lookup
from convergence.config.yaml.positions import KeyPath
from convergence.domain.plan import Plan, PlanStep
from convergence.errors import ConfigError, ConfigErrors

__all__ = ["ResolveRequest", "resolve", "resolve_end_step", "resolve_results"]

_NOTHING_TO_KNOW: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveRequest:
    """A run to plan for an org. `parameters` come from `resolve_parameters`; `profile` is the org's metadata."""

    org_slug: str
    env: str
    project_id: str
    org_dataset: str
    run_id: str
    fire_time: datetime
    credential_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)


def resolve(loaded: LoadedPipeline, request: ResolveRequest) -> Plan:
    """Return the plan of one run.

    A missing name that only the org's profile could provide, or that a step with a condition uses, becomes the step's
    `problem`; any other name without a value is refused.

    Raises:
        ConfigErrors: names without a value, or values that do not fit, with file, line and nearest name.
    """
    pipeline, prepared = loaded.pipeline, loaded.prepared
    core = _core(loaded, request)
    scope = Values({**request.profile, **core})
    scope["parameters"] = request.parameters
    variables = _variables(loaded, scope, request.parameters)
    if prepared.defaults:
        named = {name: variables[name] for name in prepared.defaults if name in variables}
        scope["parameters"] = {**named, **request.parameters}
    scope["variables"] = variables
    scope["integration"] = request.profile
    mistakes: list[ConfigError] = []
    try:
        scope["pipeline_id"] = core["pipeline_id"] = prepared.pipeline_id(scope)
    except LookupError as error:
        MissingNames(loaded, scope).mistake(Use(str(error.args[0]), ("pipeline_id",), 0), mistakes)
    except TooLarge as error:
        mistakes.append(loaded.positions.problem(("pipeline_id",), str(error)))
    steps = tuple(step.plan or _step(step, loaded, scope, mistakes) for step in prepared.steps)
    then = _then(loaded, scope, mistakes)
    mistakes = mistakes or _too_large(loaded, variables, steps)
    if mistakes:
        raise ConfigErrors(mistakes)
    return Plan(
        pipeline=loaded.path,
        pipeline_id=core["pipeline_id"],
        digest=loaded.digest,
        provider=pipeline.provider,
        domain=pipeline.domain,
        timeout_s=pipeline.timeout_s,
        steps=steps,
        variables=variables,
        core=core,
        then=then,
    )


def _then(loaded: LoadedPipeline, scope: Values, mistakes: list[ConfigError]) -> dict[str, list[dict[str, Any]]]:
    """Return what runs after the run, by outcome, with the parameters that it gets."""
    then = loaded.pipeline.then
    found = {name: [each.model_dump() for each in getattr(then, name)] for name in Then.model_fields}
    for (outcome, index), fill in loaded.prepared.then.items():
        at: KeyPath = ("then", outcome, index, "parameters")
        try:
            found[outcome][index]["parameters"] = fill(scope)
        except TooLarge as error:
            mistakes.append(loaded.positions.problem(at, str(error)))
        except LookupError as error:
            MissingNames(loaded, scope).mistake(Use(str(error.args[0]), at, 0), mistakes)
    return {name: each for name, each in found.items() if each}


def _core(loaded: LoadedPipeline, request: ResolveRequest) -> dict[str, Any]:
    given, pipeline = request.parameters, loaded.pipeline
    at = request.fire_time
    name = pipeline.schedule.timezone if pipeline.schedule is not None else "UTC"
    if name != "UTC" or at.tzinfo is not UTC:
        at = at.astimezone(zone(name))
    yesterday = (at - timedelta(days=1)).date().isoformat()
    day = given.get("date") or given.get("end_date") or yesterday
    start, end = given.get("start_date") or day, given.get("end_date") or day
    slug, project, dataset = request.org_slug, request.project_id, request.org_dataset
    return {
        "org_slug": slug,
        "tenant_id": slug,
        "env": request.env,
        "environment": request.env,
        "project_id": project,
        "gcp_project_id": project,
        "project": project,
        "org_dataset": dataset,
        "dataset": dataset,
        "run_id": request.run_id,
        "credential_id": request.credential_id or given.get("credential_id") or "",
        "provider": pipeline.provider,
        "domain": pipeline.domain,
        "pipeline": loaded.path,
        "pipeline_id": "",
        "fire_date": at.date().isoformat(),
        **date_names(day, start, end, yesterday),
    }


def _too_large(loaded: LoadedPipeline, variables: Mapping[str, Any], steps: Sequence[PlanStep]) -> list[ConfigError]:
    """Return the mistake of a plan whose values are used so often that it would be too large."""
    weights = Weights()
    size = weights.of(variables)
    if size > PLAN_MAX:
        largest = max(variables, key=lambda name: weights.of(variables[name]))
        return [_too_large_at(loaded, _variable_at(loaded, largest))]
    for prepared, step in zip(loaded.prepared.steps, steps, strict=True):
        if prepared.plan is None:
            size += weights.of(step.config) + weights.of(step.deferred)
        if size > PLAN_MAX:
            return [_too_large_at(loaded, ("steps", prepared.position))]
    return []


def _too_large_at(loaded: LoadedPipeline, at: KeyPath) -> ConfigError:
    message = f"with this the plan would have more than {PLAN_MAX:,} characters: use fewer or shorter values"
    return loaded.positions.problem(at, message)


def _variable_at(loaded: LoadedPipeline, name: str) -> KeyPath:
    return ("variables", name) if name in loaded.pipeline.variables else ("parameters", name, "default")


def _variables(loaded: LoadedPipeline, scope: Values, given: Mapping[str, Any]) -> dict[str, Any]:
    """Put parameters and variables into the scope: a given parameter takes precedence over the file's variable.

    A declared default with a template is treated as a variable, too.
    """
    scope.update({name: value for name, value in given.items() if name not in BUILT_INS})
    variables: dict[str, Any] = {}
    for item in loaded.prepared.variables:
        name = item.name
        if name in given and name not in IMPLICIT_PARAMETERS:
            variables[name] = given[name]
        elif item.fill is None:
            variables[name] = scope[name] = item.value
        else:
            try:
                variables[name] = scope[name] = item.fill(scope)
                scope.check(variables[name])
            except LookupError:
                scope.pop(name, None)  # reported only where it is used
            except TooLarge as error:
                raise ConfigErrors([loaded.positions.problem(_variable_at(loaded, name), str(error))]) from error
    return variables


def _step(prepared: PreparedStep, loaded: LoadedPipeline, scope: Scope, mistakes: list[ConfigError]) -> PlanStep:
    step, when = prepared.step, None
    enabled: Any = step.enabled
    problem = None
    config: Mapping[str, Any] = prepared.config
    deferred: tuple[Any, ...] = ()
    if prepared.enabled is not None:
        enabled = _enabled(prepared, loaded, scope, mistakes)
    if enabled is True:
        try:
            if prepared.when is not None:
                when = _when(prepared.when, scope)
            if prepared.fill is not None:
                config = prepared.fill(scope)
            if prepared.deferred:
                is_known_later = is_deferred if step.trigger is None else is_deferred_in_end_step
                deferred = deferred_texts(prepared.deferred, 2, is_known_later, scope)
        except (LookupError, ValueError) as error:
            problem = MissingNames(loaded, scope).step(prepared, error, mistakes)
            config, deferred = _NOTHING_TO_KNOW, ()
    return PlanStep(**prepared.fixed, enabled=enabled, when=when, config=config, deferred=deferred, problem=problem)


def _enabled(prepared: PreparedStep, loaded: LoadedPipeline, scope: Scope, mistakes: list[ConfigError]) -> bool:
    at = ("steps", prepared.position, "enabled")
    assert prepared.enabled is not None, "only called for a template"
    try:
        value = prepared.enabled(scope)
    except TooLarge as error:
        mistakes.append(loaded.positions.problem(at, str(error)))
        return False
    except LookupError as error:
        MissingNames(loaded, scope).mistake(Use(str(error.args[0]), at, 0), mistakes)
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    mistakes.append(loaded.positions.problem(at, f"enabled resolves to {value!r}: it must be true or false"))
    return False


def _when(parsed: expression.Expression, scope: Scope) -> str:
    """Pin the names of a condition; parameters and results stay, a name without a value is null."""

    def value(name: expression.Name) -> expression.Expression:
        if name.path[0] in {"parameters", "results"}:
            return name
        try:
            found = lookup(scope, name.dotted)
            if isinstance(scope, Values):
                scope.spend(Weights().of(found))
            return expression.Literal(found)
        except NoValue:
            return expression.Literal(None)

    return expression.unparse(expression.replaced(parsed, value))
