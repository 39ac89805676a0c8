"""Cron expressions of five fields in IANA time zones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from heapq import heappop, heappush
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from convergence.errors import InvalidInput, near_names

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SIZES = {"minute": 60, "hour": 24, "day-of-month": 32, "month": 13, "day-of-week": 8}  # a step must be smaller
_VALUES: Final = {
    "minute": "0 to 59, lists (0,30), ranges (0-15), steps (*/15) or *",
    "hour": "0 to 23, lists (6,18), ranges (8-17), steps (*/2) or *",
    "day-of-month": "1 to 31, lists (1,15), ranges (1-7), L (the last) or *",
    "month": "1 to 12, JAN to DEC, lists, ranges or *",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, lists, ranges (1-5) or *",
}
_LONGEST: Final = 200  # characters of an expression; CronSim reads every item of a list
_CHANGE_MAX: Final = timedelta(hours=3)  # more than any change of clocks; the largest is two hours, at Troll
_REFERENCE = datetime(2024, 1, 1, tzinfo=UTC)  # an arbitrary start, to check an expression


def full_cron(text: str) -> str:
    """Return the five fields that a form such as `@daily` stands for; any other text as it is."""
    return _NAMED.get(text.strip().lower(), text)


def check_cron(text: str) -> str | None:
    """Return what is wrong with a cron expression, None when nothing is."""
    if len(text) > _LONGEST:
        return f"a cron expression may have at most {_LONGEST} characters, this one has {len(text)}"
    fields = text.split()
    if len(fields) != 5:
        instead = _NAMED.get(f"@{text.strip().lower()}")
        known = f'; write @{text.strip().lower()}, or "{instead}"' if instead else ""
        return (
            f"a cron expression needs five fields (minute hour day month weekday), this one has {len(fields)}:"
            f" {text!r}{known}"
        )
    for field, (name, size) in zip(fields, _SIZES.items(), strict=True):
        for step in re.findall(r"/([0-9]+)", field, re.ASCII):
            if len(step) > 2 or int(step) >= size:  # CronSim reads it as the first value alone
                return (
                    f"{name} is wrong in the cron expression {text!r}: a step of {step[:20]} is longer than the field"
                )
    try:
        next(CronSim(text, _REFERENCE))
    except CronSimError as error:
        if _is_each_right(fields):  # 30 February
            return f"the cron expression {text!r} never fires"
        name = str(error).removeprefix("Bad ").strip()
        return f"{name} is wrong in the cron expression {text!r}: {_VALUES.get(name, 'see docs/writing-pipelines.md')}"
    except StopIteration:
        return f"the cron expression {text!r} never fires"
    return None


def _is_each_right(fields: list[str]) -> bool:
    """Return whether each field is valid on its own, so that only their combination is wrong."""
    for index, field in enumerate(fields):
        alone = ["*"] * len(fields)
        alone[index] = field
        try:
            CronSim(" ".join(alone), _REFERENCE)
        except CronSimError:
            return False
    return True


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """Return the time zone. Raises `InvalidInput` with the nearest names, else an example."""
    if name == "UTC":
        return UTC
    if name in _zones():
        return ZoneInfo(name)
    near = near_names(name[:100], _zones()) or " Use an IANA name, such as 'Europe/Berlin'."
    raise InvalidInput(f"no time zone is called {name[:100]!r}.{near}")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """Return the names that mean the same on every machine, as sets of rules for `posixrules` and `right/` do not."""
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def fire_times(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the fire times after `after`, in UTC.

    Around a change of clocks: a fixed time inside the skipped hour moves to its end, and one inside the doubled hour
    fires once, the first time (Debian cron's rules, as CronSim follows them). An expression whose minute or hour
    begins with a star follows elapsed time.
    """
    return _fire_times(cron, zone(timezone), after, reverse=False)


def fire_times_before(cron: str, timezone: str, before: datetime) -> Iterator[datetime]:
    """Yield the fire times before `before`, latest first, in UTC."""
    return _fire_times(cron, zone(timezone), before, reverse=True)


def _fire_times(cron: str, where: tzinfo, start: datetime, *, reverse: bool) -> Iterator[datetime]:
    found = CronSim(cron, start.astimezone(where), reverse=reverse)
    if where is UTC or found.fixup_tz is not None:
        return (fire.astimezone(UTC) for fire in found)
    return _elapsed(cron, where, start, reverse=reverse)


def _elapsed(cron: str, where: tzinfo, start: datetime, *, reverse: bool) -> Iterator[datetime]:
    """Yield every instant at which the clocks in `where` show a matching time; a doubled time has two.

    CronSim itself works in whole hours and misses some where clocks change by half an hour (Lord Howe).
    """
    sign = -1 if reverse else 1
    start = start.astimezone(UTC)
    waiting: list[tuple[float, datetime]] = []
    around = {(start + hours).astimezone(where).utcoffset() for hours in (-_CHANGE_MAX, timedelta(0), _CHANGE_MAX)}
    earlier = sign * _CHANGE_MAX if len(around) > 1 else timedelta(0)  # a doubled time may be on both sides of `start`
    for local in CronSim(cron, start.astimezone(where).replace(tzinfo=None) - earlier, reverse=reverse):
        both = {local.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1)}
        for instant in both:
            if instant.astimezone(where).replace(tzinfo=None) == local and sign * (instant - start) > timedelta(0):
                heappush(waiting, (sign * instant.timestamp(), instant))
        reached = min(sign * instant.timestamp() for instant in both)  # no later local time comes before it
        while waiting and waiting[0][0] <= reached:
            yield heappop(waiting)[1]
