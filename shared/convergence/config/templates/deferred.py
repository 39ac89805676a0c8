"""Names that are known only when a step starts: results of earlier steps, and how the run ended.

In the plan such a string is null, and the step's `deferred` holds it: `[[key path], [part, …], is a query parameter]`,
a part being text or `{"name": …}`. Filling never looks for templates again, so a value that looks like one stays text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from convergence.config.sql.values import type_of, value_of
from convergence.config.templates.compiled import Deferred, Scope
from convergence.config.templates.sizes import TooLarge, joined
from convergence.config.templates.template import NoValue, lookup, text_of
from convergence.config.yaml.positions import path_text
from convergence.domain.plan import Plan, PlanStep
from convergence.errors import StepFailed

LATER: Final = "{results}"


def deferred_texts(later: Iterable[Deferred], depth: int, is_deferred: Any, scope: Scope) -> tuple[Any, ...]:
    """Return the entries for the plan: known names filled, deferred ones named. `depth` is cut off the paths."""
    entries: list[Any] = []
    for path, parts, sql in later:
        done: list[Any] = []
        for part in parts:
            if isinstance(part, str):
                done.append(part)
            elif is_deferred(part.name):
                done.append({"name": part.name})
            else:
                done.append(joined([text_of(lookup(scope, part.name), part.name)], scope, path_text(path)))
        entries.append([list(path[depth:]), done, sql])
    return tuple(entries)


def with_templates(step: PlanStep) -> Mapping[str, Any]:
    """Return the step's blocks with a template in the place of each text that is known only later: for checks."""
    blocks = dict(step.config)
    for path, *_ in step.deferred:
        _place(blocks, path, LATER)
    return blocks


def resolve_results(step: PlanStep, results: Mapping[str, Mapping[str, Any]]) -> PlanStep:
    """Return the step as its processor receives it, with strings that name results of earlier steps filled.

    Raises:
        StepFailed: an earlier step did not return such a result, or a string would be too long.
    """
    if not step.deferred:
        return step
    try:
        config = _filled(step, {"results": results})
    except NoValue as error:
        raise StepFailed(f"{step.where}: {{{error.args[0]}}} has no value: that step did not return it") from error
    return replace(step, config=config, deferred=())


def resolve_end_step(step: PlanStep, plan: Plan, extra: Mapping[str, Any]) -> PlanStep:
    """Return an end step with the run's outcome filled in.

    `extra`: status, error_message, failed_step, started_at, … and `results`. What the run did not produce (an error
    message after a success) is an empty string.
    """
    if not step.deferred:
        return step
    scope = {**plan.variables, **plan.core, **extra}
    scope.setdefault("error", extra.get("error_message", ""))
    scope.setdefault("execution_timestamp", extra.get("finished_at", ""))
    return replace(step, config=_filled(step, scope, absent=""), deferred=())


def _filled(step: PlanStep, scope: Scope, *, absent: Any = None) -> dict[str, Any]:
    filled = dict(step.config)
    for path, parts, sql in step.deferred:
        values = [part if isinstance(part, str) else _value(part["name"], scope, absent) for part in parts]
        if sql:
            value: Any = value_of(values[0], type_of(values[0]), parts[0]["name"])
        elif len(parts) == 1:
            value = values[0]
        else:
            names = [part if isinstance(part, str) else part["name"] for part in parts]
            pieces = (text_of(value, name) for value, name in zip(values, names, strict=True))
            try:
                value = joined(pieces, scope, path_text(path))
            except TooLarge as error:
                raise StepFailed(f"{step.where}: {error}") from error
        _place(filled, path, value)
    return filled


def _value(name: str, scope: Scope, absent: Any) -> Any:
    try:
        value = lookup(scope, name)
    except NoValue:
        if absent is None:
            raise
        return absent
    return absent if value is None else value


def _place(config: dict[str, Any], path: list[Any], value: Any) -> None:
    """Set a value; containers on the path are copied, because the plan's are shared."""
    container: Any = config
    for key in path[:-1]:
        container[key] = inner = container[key].copy()
        container = inner
    container[path[-1]] = value
