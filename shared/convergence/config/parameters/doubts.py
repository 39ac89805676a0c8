"""Days that are probably a mistake; a caller who means them confirms them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, timedelta
from typing import Any, Final

from convergence.config.parameters.dates import is_symbol, parse_date

RANGE_MAX: Final = timedelta(days=3_660)
_FIRST: Final = date(1970, 1, 1)
_NAMES: Final = ("date", "start_date", "end_date")


def doubtful_days(given: Mapping[str, Any], today: date) -> str | None:
    """Return what is unusual about a caller's days: in the future, more than ten years apart, or before 1970.

    A symbol such as MONTH_END is intended, even if it is in the future. Values that are not dates are reported by the
    check of the parameters.
    """
    days: dict[str, date] = {}
    for name in _NAMES:
        if isinstance(text := given.get(name), str):
            with suppress(ValueError):
                days[name] = parse_date(text, today)
    written = [day for name, day in days.items() if not is_symbol(given[name])]
    if written and max(written) > today:
        return f"{max(written)} is in the future (today is {today})"
    if written and min(written) < _FIRST:
        return f"{min(written)} is before {_FIRST.year}"
    last = max([*days.values(), *([today] if set(days) == {"start_date"} else [])], default=today)
    first = min(days.values(), default=last)
    return f"{first} to {last} is more than ten years" if last - first > RANGE_MAX else None
