"""Cron expressions of five fields in IANA time zones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from convergence.errors import InvalidInput, did_you_mean

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SIZES = {"minute": 60, "hour": 24, "day-of-month": 32, "month": 13, "day-of-week": 8}  # a step is below
_LONGEST: Final = 200  # characters of an expression; CronSim reads every item of a list
_REFERENCE = datetime(2024, 1, 1, tzinfo=UTC)  # any start will do to check an expression


def full_cron(text: str) -> str:
    """Return the five fields that a form such as `@daily` stands for; any other text as it is."""
    return _NAMED.get(text.strip().lower(), text)


def check_cron(text: str) -> str | None:
    """Return what is wrong with a cron expression, None when nothing is."""
    if len(text) > _LONGEST:
        return f"a cron has at most {_LONGEST} characters, this one has {len(text)}"
    fields = text.split()
    if len(fields) != 5:
        return f"a cron has five fields (minute hour day month weekday), this one has {len(fields)}: {text!r}"
    for field, (name, size) in zip(fields, _SIZES.items(), strict=True):
        for step in re.findall(r"/([0-9]+)", field, re.ASCII):
            if len(step) > 2 or int(step) >= size:  # CronSim reads it as the first value alone
                return f"{name} is wrong in the cron {text!r}: a step of {step[:20]} is longer than the field"
    try:
        next(CronSim(text, _REFERENCE))
    except CronSimError as error:
        if _is_each_right(fields):  # 30 February
            return f"the cron {text!r} never fires"
        return f"{str(error).removeprefix('Bad ').strip()} is wrong in the cron {text!r}"
    except StopIteration:
        return f"the cron {text!r} never fires"
    return None


def _is_each_right(fields: list[str]) -> bool:
    """Return whether each field is right beside stars, so that only their combination is wrong."""
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
    """Return the time zone. Raises `InvalidInput` with the nearest names."""
    if name == "UTC":
        return UTC
    if name in _zones():
        return ZoneInfo(name)
    known = did_you_mean(name[:100], _zones()) if name else ""
    raise InvalidInput(f"no time zone is called {name[:100]!r}.{known}")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """Return the names that mean the same on every machine, as sets of rules for `posixrules` and `right/` do not."""
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def fire_times(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the fire times after `after`, in UTC.

    Around a change of clocks: a fire time inside the skipped hour moves to its end; one inside the doubled hour
    fires once (Debian cron's rules, as CronSim follows them).
    """
    for fire in CronSim(cron, after.astimezone(zone(timezone))):
        yield fire.astimezone(UTC)


def fire_times_before(cron: str, timezone: str, before: datetime) -> Iterator[datetime]:
    """Yield the fire times before `before`, latest first, in UTC."""
    for fire in CronSim(cron, before.astimezone(zone(timezone)), reverse=True):
        yield fire.astimezone(UTC)
