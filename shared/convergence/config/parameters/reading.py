"""Values for a pipeline's parameters, read by what its file declares: those of a run, and those that files give."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any, Final

from convergence.config.model.pipeline import ParameterSpec, Pipeline
from convergence.config.parameters.coercion import coerce, json_value, shown
from convergence.config.templates.builtin_names import BUILT_INS, IMPLICIT_PARAMETERS, ROOTS
from convergence.config.templates.sizes import TooLarge
from convergence.config.templates.template import NoValue, parse, render
from convergence.errors import did_you_mean

_ANY_DAY: Final = date(2000, 1, 1)  # symbols count from it; whether a string is a valid day does not depend on it


def refusals(pipeline: Pipeline, used: Collection[str], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names whose values every run would refuse, each with the reason; secrets do not belong in files."""
    for name, value in given.items():
        spec = pipeline.parameters.get(name)
        if spec is not None and spec.type == "secret":
            yield name, f"{name!r} is a secret: secrets do not belong in files; store a credential"
            continue
        reading = Reading(pipeline, used, _ANY_DAY, {})
        reading.take(name, value)
        yield from ((name, reason) for reason in reading.wrong)


def missing(pipeline: Pipeline, given: Collection[str]) -> list[str]:
    """Return the required parameters that are not given; one with a default does not load."""
    return [name for name, spec in pipeline.parameters.items() if spec.required and name not in given]


def has_template(value: Any) -> bool:
    """True for a text with a template, or a list or mapping that holds one."""
    if isinstance(value, Mapping):
        return any(map(has_template, value.values()))
    if isinstance(value, list | tuple):
        return any(map(has_template, value))
    return isinstance(value, str) and parse(value) is not None


class Reading:
    """Reads values one by one. `found` are those that fit, `wrong` the messages about others, `refused` their names.

    `used` are the names in the file's templates: a file that declares nothing takes values for them.
    """

    def __init__(self, pipeline: Pipeline, used: Collection[str], today: date, scope: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._used = used
        self._today = today
        self._scope = scope
        self.found: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.refused: set[str] = set()
        declared = pipeline.parameters
        implicit = {name: _IMPLICIT[name] for name in IMPLICIT_PARAMETERS if name not in declared}
        force = pipeline.execution.force_param
        if force is not None and force not in declared:
            implicit[force] = _LIKE[bool]
        self.specs: Mapping[str, ParameterSpec] = {**implicit, **declared}

    def take(self, name: str, value: Any) -> None:
        """Read a value that the caller gave."""
        spec = self.specs.get(name) or self._undeclared(name)
        if spec is None:
            self._refuse(name, self._unknown(name))
        elif value is not None:
            self._read(name, value, spec)

    def take_default(self, name: str, spec: ParameterSpec) -> None:
        """Read a default; one whose template has no value yet is left to the plan."""
        value = spec.default
        template = parse(value) if isinstance(value, str) else None
        if template is not None:
            try:
                value = render(template, {**self._scope, **self.found})
            except NoValue:
                return
            except TooLarge as error:
                self._refuse(name, f"the default of {name}: {error}")
                return
        self._read(name, value, spec)

    def _read(self, name: str, value: Any, spec: ParameterSpec) -> None:
        try:
            coerced = json_value(value) if spec is _ANYTHING else coerce(value, spec.type, self._today)
        except ValueError as error:
            self._refuse(name, f"{name} {error}")
            return
        self.found[name] = coerced
        if spec.allowed is not None and coerced not in spec.allowed:
            instead = "" if spec.type == "secret" else f", not {shown(coerced)}"
            self._refuse(name, f"{name} must be one of {', '.join(map(repr, spec.allowed))}{instead}")

    def _refuse(self, name: str, reason: str) -> None:
        self.refused.add(name)
        self.wrong.append(reason)

    def _undeclared(self, name: str) -> ParameterSpec | None:
        """A variable of the file may be given, and a name that the file uses as a template."""
        variables = self._pipeline.variables
        if name in BUILT_INS or name in ROOTS:
            return None
        if name in variables:
            return _LIKE.get(type(variables[name]), _ANYTHING)
        if name in self._used and not self._pipeline.strict_names:
            return _ANYTHING
        return None

    def _unknown(self, name: str) -> str:
        if name in BUILT_INS:
            return f"{name!r} is set by the engine: remove it"
        known = {*self.specs, *self._pipeline.variables} - set(BUILT_INS) | set(IMPLICIT_PARAMETERS)
        return f"no parameter is called {shown(name)}.{did_you_mean(name, known)}"


_ANYTHING: Final = ParameterSpec(type="string")  # an undeclared name keeps what the caller gave
_IMPLICIT: Final = {name: ParameterSpec(type=kind) for name, kind in IMPLICIT_PARAMETERS.items()}  # type: ignore[arg-type]  # the table's kinds are ParameterTypes
_LIKE: Final = {
    bool: ParameterSpec(type="boolean"),
    int: ParameterSpec(type="integer"),
    float: ParameterSpec(type="number"),
    list: ParameterSpec(type="list"),
    dict: ParameterSpec(type="object"),
}
