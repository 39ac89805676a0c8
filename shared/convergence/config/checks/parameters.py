"""Checks of declared parameters: their names, defaults and allowed values, and what a schedule gives them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from convergence.config.model.pipeline import ParameterSpec, Pipeline
from convergence.config.parameters.coercion import shown
from convergence.config.parameters.dates import is_date
from convergence.config.parameters.reading import has_template, missing, refusals
from convergence.config.templates.builtin_names import BUILT_INS, IMPLICIT_PARAMETERS
from convergence.config.yaml.positions import KeyPath
from convergence.errors import ConfigError

Problem = Callable[[KeyPath, str], ConfigError]

TEMPLATE: Final = (
    "templates are not filled in the parameters of a schedule: write the value, a day such as TODAY-1, or give the "
    "parameter a default with the template"
)
_SHOWN_MAX: Final = 12
_DECLARED_TYPES: Final = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "date": (str,),
    "list": (list,),
    "object": (dict,),
}
_EXAMPLES: Final = {
    "string": 'text, such as "x"',
    "integer": "a whole number, such as 5",
    "number": "a number, such as 0.5",
    "boolean": "true or false",
    "date": "a day of the calendar, such as 2026-11-07 or TODAY-7",
    "list": "a list, such as [a, b]",
    "object": "a mapping, such as {a: 1}",
}


def check_parameters(pipeline: Pipeline, used: Collection[str], problem: Problem) -> Iterator[ConfigError]:
    """Yield the mistakes; `used` are the names in the file's templates."""
    for name, spec in pipeline.parameters.items():
        at: KeyPath = ("parameters", name)
        if name in BUILT_INS and name not in IMPLICIT_PARAMETERS:
            yield problem(at, f"{name!r} is set by the engine and cannot be a parameter: remove or rename it")
        if spec.type == "secret" and spec.default is not None:
            yield problem((*at, "default"), "remove the default: secrets do not belong in files")
        if spec.required and spec.default is not None:
            yield problem((*at, "default"), "a required parameter cannot have a default: remove one of the two")
        if not _fits(spec.type, spec.default):
            yield problem((*at, "default"), _instead(spec.type, spec.default, "the default"))
        elif _refused(spec):
            listed = ", ".join(map(shown, (spec.allowed or ())[:_SHOWN_MAX]))
            known = f"{listed}, …" if len(spec.allowed or ()) > _SHOWN_MAX else listed
            message = (
                f"the default {shown(spec.default)} is not among the allowed values: use one of {known}, or add it"
            )
            yield problem((*at, "default"), message)
        for index, value in enumerate(spec.allowed or ()):
            if not _fits(spec.type, value):
                yield problem((*at, "allowed", index), _instead(spec.type, value, "this"))
    yield from _schedules_parameters(pipeline, used, problem)


def _schedules_parameters(pipeline: Pipeline, used: Collection[str], problem: Problem) -> Iterator[ConfigError]:
    schedule = pipeline.schedule
    if schedule is None:
        return
    for name, value in schedule.parameters.items():
        if has_template(value):
            yield problem(("schedule", "parameters", name), TEMPLATE)
    for name, reason in refusals(pipeline, used, schedule.parameters):
        yield problem(("schedule", "parameters", name), reason)
    for name in missing(pipeline, schedule.parameters):
        if pipeline.parameters[name].type == "secret":
            message = (
                f"{name!r} is a required secret, which a schedule cannot provide: store a credential, or remove it"
            )
            yield problem(("schedule",), message)


def ungiven(pipeline: Pipeline, problem: Problem) -> Iterator[ConfigError]:
    """Yield a warning for each required parameter that an enabled schedule does not give: no org gets that schedule."""
    schedule = pipeline.schedule
    if schedule is None or not schedule.enabled:
        return  # a disabled one is a template for schedules that orgs create
    for name in missing(pipeline, schedule.parameters):
        if pipeline.parameters[name].type != "secret":
            yield problem(
                ("schedule",),
                f"no org gets this schedule, because nothing provides the required parameter {name!r}: set it below "
                "schedule.parameters, give it a default, or write `enabled: false` where each org makes its own"
                " schedule",
            )


def _refused(spec: ParameterSpec) -> bool:
    """True for a default that every run refuses; a template or a day such as TODAY has no value yet."""
    default = spec.default
    if default is None or spec.allowed is None or default in spec.allowed:
        return False
    return not isinstance(default, str) or ("{" not in default and (spec.type != "date" or default[:1].isdigit()))


def _instead(kind: str, value: object, what: str) -> str:
    return f"{what} must be {_EXAMPLES[kind]}, not {shown(value)}"


def _fits(kind: str, value: object) -> bool:
    if value is None or kind == "secret" or (isinstance(value, str) and "{" in value):
        return True
    if isinstance(value, bool) != (kind == "boolean"):
        return False
    if kind == "date":
        return isinstance(value, str) and is_date(value)
    return isinstance(value, _DECLARED_TYPES[kind])
