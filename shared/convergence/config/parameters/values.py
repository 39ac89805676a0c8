"""Parameters of a run: what a caller gives, checked against what the file declares, dates pinned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from convergence.config.cron import zone as zone_named
from convergence.config.loader import LoadedPipeline
from convergence.config.parameters.dates import date_names
from convergence.config.parameters.reading import Reading
from convergence.errors import FINDINGS_MAX, InvalidInput


def resolve_parameters(
    loaded: LoadedPipeline,
    given: Mapping[str, Any],
    *,
    fire_time: datetime,
    zone: tzinfo | str | None = None,
    scope: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Return the parameters of a run as JSON, dates as `YYYY-MM-DD`.

    Text is read by the declared type, so a command line may give everything as text. `zone` is the zone in which the
    date of `fire_time` is taken; by default the schedule's, else UTC. `scope` provides names for templates in defaults.
    The value of a `secret` is returned unchanged: the caller encrypts it.

    Raises:
        InvalidInput: everything that is wrong; values of secrets are never shown.
    """
    today = fire_time.astimezone(_zone(loaded, zone)).date()
    assumed = (today + timedelta(days=loaded.pipeline.default_date_offset)).isoformat()
    yesterday = (today - timedelta(days=1)).isoformat()
    dates = {**date_names(assumed, assumed, assumed, yesterday), "fire_date": today.isoformat()}
    reading = Reading(loaded.pipeline, loaded.prepared.names, today, {**dates, **(scope or {})})
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


def edited(loaded: LoadedPipeline, had: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters to give for a repeated run, some of them changed.

    Days that were derived from a changed one are derived from the new one: a new `date` is the whole range, and with a
    new range `date` is its last day.
    """
    given = {**had, **changes}
    if changes.keys() & {"date"}:
        follow = _RANGE
    elif changes.keys() & _RANGE:
        follow = frozenset({"date"} - loaded.pipeline.parameters.keys())
    else:
        return given
    return {name: value for name, value in given.items() if name not in follow or name in changes}


def _zone(loaded: LoadedPipeline, zone: tzinfo | str | None) -> tzinfo:
    if zone is None:
        schedule = loaded.pipeline.schedule
        zone = schedule.timezone if schedule is not None else UTC
    return zone_named(zone) if isinstance(zone, str) else zone


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
