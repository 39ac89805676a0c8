"""The four spellings of a schedule, translated to cron + timezone + enabled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from functools import partial
from typing import Any, Final

from convergence.config.cron import check_cron, full_cron, zone
from convergence.domain.times import duration
from convergence.errors import InvalidInput, did_you_mean

Report = Callable[[str | None, str], None]  # key within the schedule (None: the schedule itself), message

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "hourly": frozenset({"minute"}),
    "daily": frozenset({"time"}),
    "monthly": frozenset({"time", "day_of_month"}),
}
_WHEN: Final = frozenset({"cron", "default_cron", "type", "time", "minute", "day_of_month"})
_PLAIN: Final = frozenset({"enabled", "jitter_minutes", "missed", "overlap", "queue_max", "parameters"})
_TIMES: Final = frozenset({"start", "end", "blackouts", "starting_deadline"})
KEYS: Final = _WHEN | _PLAIN | _TIMES | {"timezone"}
_YEARS: Final = range(1970, 3000)


def normalise(written: Any, report: Report) -> dict[str, Any] | None:
    """Return the schedule as the model has it, or None after reporting what is wrong."""
    if isinstance(written, str):
        written = {"cron": written}
    if not isinstance(written, Mapping):
        report(None, "a schedule must be a cron expression in quotes, or a mapping")
        return None
    for key in written:
        if key not in KEYS:
            report(key, f"a schedule has no {key!r}.{did_you_mean(key, KEYS)}")
    cron = _cron(written, report)
    wrong = check_cron(cron) if cron is not None else None
    if wrong:
        report(next((key for key in ("cron", "default_cron") if key in written), None), wrong)
    timezone = written.get("timezone", "UTC")
    try:
        zone(str(timezone))
    except InvalidInput as error:
        report("timezone", str(error))
        return None
    if cron is None or wrong:
        return None
    plain = {key: written[key] for key in sorted(_PLAIN & set(written))}
    return {
        "cron": cron,
        "timezone": timezone,
        "enabled": True,
        **plain,
        **_times(written, zone(str(timezone)), report),
    }


def _times(written: Mapping[str, Any], where: tzinfo, report: Report) -> dict[str, Any]:
    """Return the keys that hold times and durations, read."""
    found: dict[str, Any] = {}
    for key in ("start", "end"):
        if key in written:
            found[key] = _moment(written[key], where, partial(report, key))
    if "starting_deadline" in written:
        found["starting_deadline_s"] = _duration(written["starting_deadline"], report)
    if "blackouts" in written:
        found["blackouts"] = _blackouts(written["blackouts"], where, report)
    return {key: value for key, value in found.items() if value is not None}


def _moment(value: Any, where: tzinfo, report: Callable[[str], None]) -> datetime | None:
    """Read a date or a time; without an offset it is in the schedule's zone."""
    try:
        read = datetime.fromisoformat(str(value))
    except ValueError:
        report(f"a date or a time such as 2026-12-24 or 2026-12-24T18:00, not {str(value)[:100]!r}")
        return None
    if read.year not in _YEARS:  # closer to the ends of the calendar, zones and jitter could leave its range
        report(f"a year from {_YEARS[0]} to {_YEARS[-1]}, not {str(value)[:100]!r}")
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=where)


def _duration(value: Any, report: Report) -> int | None:
    if isinstance(value, str) and (known := duration(value)) is not None:
        return int(known.total_seconds())
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    report("starting_deadline", f'a duration such as "24h", "90m" or a number of seconds, not {str(value)[:100]!r}')
    return None


def _blackouts(value: Any, where: tzinfo, report: Report) -> list[dict[str, Any]] | None:
    found = []
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, Mapping) or not {"start", "end"} <= set(each) <= {"start", "end", "reason"}:
            report("blackouts", "each blackout must have start and end, and may have reason")
            return None
        start, end = (_moment(each[key], where, partial(report, "blackouts")) for key in ("start", "end"))
        if start is None or end is None:
            return None
        if end <= start:
            report("blackouts", f"a blackout must end after it starts, not {each['start']} … {each['end']}")
            return None
        found.append({"start": start, "end": end, "reason": str(each.get("reason", ""))})
    return found


def _cron(written: Mapping[str, Any], report: Report) -> str | None:
    ways = [key for key in ("cron", "default_cron", "type") if key in written]
    if len(ways) != 1:
        report(None, "a schedule needs exactly one of cron, default_cron or type")
        return None
    if ways[0] != "type":
        cron = written[ways[0]]
        for key in sorted(_WHEN & set(written) - {ways[0]}):
            report(key, f"{key} belongs to `type`, not to a cron expression")
        if not isinstance(cron, str):
            report(ways[0], "a cron expression must be text: write it in quotes")
            return None
        return full_cron(cron)
    return _from_type(written, report)


def _from_type(written: Mapping[str, Any], report: Report) -> str | None:
    kind = written["type"]
    if not isinstance(kind, str) or kind not in _TYPES:
        report("type", f"type must be one of {', '.join(_TYPES)}, not {kind!r}")
        return None
    for key in sorted({"time", "minute", "day_of_month"} & set(written) - _TYPES[kind]):
        report(key, f"{key} has no meaning with type {kind}")
    if kind == "hourly":
        minute = _number(written, "minute", 0, range(60), report)
        return None if minute is None else f"{minute} * * * *"
    clock = written.get("time", "00:00")
    match = _TIME.fullmatch(clock) if isinstance(clock, str) else None
    if match is None:
        report("time", f'time must be "HH:MM" in quotes, not {clock!r}')
        return None
    hour, minute = int(match[1]), int(match[2])
    if kind == "daily":
        return f"{minute} {hour} * * *"
    day = _number(written, "day_of_month", 1, range(1, 32), report)
    return None if day is None else f"{minute} {hour} {day} * *"


def _number(written: Mapping[str, Any], key: str, default: int, allowed: range, report: Report) -> int | None:
    value = written.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
        report(key, f"{key} must be a number from {allowed[0]} to {allowed[-1]}, not {value!r}")
        return None
    return value
