"""The four spellings of a schedule, translated to cron + timezone + enabled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from convergence.config.cron import check_cron, zone
from convergence.errors import InvalidInput, did_you_mean

Report = Callable[[str | None, str], None]  # key within the schedule (None: the schedule itself), message

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "hourly": frozenset({"minute"}),
    "daily": frozenset({"time"}),
    "monthly": frozenset({"time", "day_of_month"}),
}
KEYS: Final = frozenset({"cron", "default_cron", "type", "time", "minute", "day_of_month", "timezone", "enabled"})


def normalise(written: Any, report: Report) -> dict[str, Any] | None:
    """Return `{cron, timezone, enabled}`, or None after reporting what is wrong."""
    if isinstance(written, str):
        written = {"cron": written}
    if not isinstance(written, Mapping):
        report(None, "a schedule is a cron in quotes, or a mapping")
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
    return {"cron": cron, "timezone": timezone, "enabled": written.get("enabled", True)}


def _cron(written: Mapping[str, Any], report: Report) -> str | None:
    ways = [key for key in ("cron", "default_cron", "type") if key in written]
    if len(ways) != 1:
        report(None, "a schedule needs exactly one of cron, default_cron or type")
        return None
    if ways[0] != "type":
        cron = written[ways[0]]
        for key in sorted(KEYS & set(written) - {ways[0], "timezone", "enabled"}):
            report(key, f"{key} goes with `type`, not with a cron")
        if not isinstance(cron, str):
            report(ways[0], "a cron is text: write it in quotes")
            return None
        return cron
    return _from_type(written, report)


def _from_type(written: Mapping[str, Any], report: Report) -> str | None:
    kind = written["type"]
    if not isinstance(kind, str) or kind not in _TYPES:
        report("type", f"type is one of {', '.join(_TYPES)}, not {kind!r}")
        return None
    for key in sorted({"time", "minute", "day_of_month"} & set(written) - _TYPES[kind]):
        report(key, f"{key} has no meaning with type {kind}")
    if kind == "hourly":
        minute = _number(written, "minute", 0, range(60), report)
        return None if minute is None else f"{minute} * * * *"
    clock = written.get("time", "00:00")
    match = _TIME.fullmatch(clock) if isinstance(clock, str) else None
    if match is None:
        report("time", f'time is "HH:MM" in quotes, not {clock!r}')
        return None
    hour, minute = int(match[1]), int(match[2])
    if kind == "daily":
        return f"{minute} {hour} * * *"
    day = _number(written, "day_of_month", 1, range(1, 32), report)
    return None if day is None else f"{minute} {hour} {day} * *"


def _number(written: Mapping[str, Any], key: str, default: int, allowed: range, report: Report) -> int | None:
    value = written.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
        report(key, f"{key} is a number from {allowed[0]} to {allowed[-1]}, not {value!r}")
        return None
    return value
