"""Parameters of a run: what a caller gives, checked against what the file declares, dates pinned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final

from convergence.config.cron import zone as zone_named
from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import ParameterSpec
from convergence.config.parameters.coercion import coerce, json_value, shown
from convergence.config.parameters.dates import date_names
from convergence.config.templates.builtin_names import BUILT_INS, IMPLICIT_PARAMETERS, ROOTS
from convergence.config.templates.sizes import TooLarge
from convergence.config.templates.template import NoValue, parse, render
from convergence.errors import FINDINGS_MAX, InvalidInput, did_you_mean


def resolve_parameters(
    loaded: LoadedPipeline,
    given: Mapping[str, Any],
    *,
    fire_time: datetime,
    zone: tzinfo | str | None = None,
    scope: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Return the parameters of a run as JSON, dates as `YYYY-MM-DD`.

    Text is read by the declared type, so a command line may give everything as text. `zone` is the zone in which
    `fire_time` has its date; without it, the schedule's, else UTC. `scope` gives names to templates in defaults.
    The value of a `secret` is returned unchanged: the caller encrypts it.

    Raises:
        InvalidInput: all that is wrong; values of secrets are never shown.
    """
    today = fire_time.astimezone(_zone(loaded, zone)).date()
    assumed = (today + timedelta(days=loaded.pipeline.default_date_offset)).isoformat()
    yesterday = (today - timedelta(days=1)).isoformat()
    dates = {**date_names(assumed, assumed, assumed, yesterday), "fire_date": today.isoformat()}
    reading = _Reading(loaded, today, {**dates, **(scope or {})})
    for name, value in given.items():
        reading.take(name, value)
        if len(reading.wrong) >= FINDINGS_MAX:
            raise InvalidInput(f"{loaded.path}: " + "; ".join([*reading.wrong, "there may be more"]))
    for name, spec in reading.specs.items():
        if spec.required and name not in reading.found and name not in reading.refused:
            reading.wrong.append(f"the parameter {name!r} is required")
        elif spec.default is not None and name not in given and not (name in _RANGE and given.get("date")):
            reading.take_default(name, spec)
    if not reading.wrong:
        _pin_dates(reading.found, assumed, given, reading.wrong)
    if reading.wrong:
        raise InvalidInput(f"{loaded.path}: " + "; ".join(dict.fromkeys(reading.wrong)))
    reading.found.setdefault("force_refresh", False)
    return reading.found


def _zone(loaded: LoadedPipeline, zone: tzinfo | str | None) -> tzinfo:
    if zone is None:
        schedule = loaded.pipeline.schedule
        zone = schedule.timezone if schedule is not None else UTC
    return zone_named(zone) if isinstance(zone, str) else zone


class _Reading:
    def __init__(self, loaded: LoadedPipeline, today: date, scope: Mapping[str, Any]) -> None:
        self._loaded = loaded
        self._today = today
        self._scope = scope
        self.found: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.refused: set[str] = set()
        declared = loaded.pipeline.parameters
        implicit = {name: _IMPLICIT[name] for name in IMPLICIT_PARAMETERS if name not in declared}
        force = loaded.pipeline.execution.force_param
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
            self._refuse(name, f"{name} is one of {', '.join(map(repr, spec.allowed))}{instead}")

    def _refuse(self, name: str, reason: str) -> None:
        self.refused.add(name)
        self.wrong.append(reason)

    def _undeclared(self, name: str) -> ParameterSpec | None:
        """A variable of the file may be given, and a name that the file uses as a template."""
        variables = self._loaded.pipeline.variables
        if name in BUILT_INS or name in ROOTS:
            return None
        if name in variables:
            return _LIKE.get(type(variables[name]), _ANYTHING)
        if name in self._loaded.prepared.names and not self._loaded.pipeline.strict_names:
            return _ANYTHING
        return None

    def _unknown(self, name: str) -> str:
        if name in BUILT_INS:
            return f"{name!r} is set by the engine"
        known = {*self.specs, *self._loaded.pipeline.variables} - set(BUILT_INS) | set(IMPLICIT_PARAMETERS)
        return f"no parameter is called {shown(name)}.{did_you_mean(name, known)}"


def _pin_dates(found: dict[str, Any], assumed: str, given: Mapping[str, Any], wrong: list[str]) -> None:
    """Fill date, start_date and end_date from each other, else with the default date.

    An assumed start (MONTH_START on the first of a month) moves the assumed end with it.
    """
    day, start, end = (found.get(name) for name in ("date", "start_date", "end_date"))
    if end is None:
        end = day or assumed
        if start is not None and "start_date" not in given:
            end = max(start, end)
    if start is None:
        start = day or end
    if start > end:
        note = " (the default: give end_date too)" if "end_date" not in found and day is None else ""
        wrong.append(f"start_date {start} is after end_date {end}{note}")
    found.update(date=day or end, start_date=start, end_date=end)


_RANGE: Final = frozenset({"start_date", "end_date"})
_ANYTHING: Final = ParameterSpec(type="string")  # an undeclared name keeps what the caller gave
_IMPLICIT: Final = {name: ParameterSpec(type=kind) for name, kind in IMPLICIT_PARAMETERS.items()}  # type: ignore[arg-type]  # the table's kinds are ParameterTypes
_LIKE: Final = {
    bool: ParameterSpec(type="boolean"),
    int: ParameterSpec(type="integer"),
    float: ParameterSpec(type="number"),
    list: ParameterSpec(type="list"),
    dict: ParameterSpec(type="object"),
}
