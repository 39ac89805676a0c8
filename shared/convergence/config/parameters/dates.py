"""Dates of a run: symbols, and the built-in names that follow from them. Computed once, then pinned."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAYS_AGO = re.compile(r"TODAY-(\d{1,4})")  # how far a range looks back for late data

SYMBOLS: Final[Mapping[str, Callable[[date], date]]] = {
    "TODAY": lambda today: today,
    "YESTERDAY": lambda today: today - timedelta(days=1),
    "MONTH_START": lambda today: today.replace(day=1),
    "MONTH_END": lambda today: today.replace(day=monthrange(today.year, today.month)[1]),
    "YEAR_START": lambda today: today.replace(month=1, day=1),
    "YEAR_END": lambda today: today.replace(month=12, day=31),
}


def looks_like_date(text: str) -> bool:
    """True for a symbol, `TODAY-n` or `YYYY-MM-DD`."""
    return text in SYMBOLS or _DAYS_AGO.fullmatch(text) is not None or _ISO.fullmatch(text) is not None


def is_symbol(text: str) -> bool:
    """True for a date that is counted from today."""
    return text.upper() in SYMBOLS or _DAYS_AGO.fullmatch(text.upper()) is not None


def is_date(text: str) -> bool:
    """True for a symbol or a day that the calendar has."""
    try:
        parse_date(text, date.max)
    except ValueError:
        return False
    return True


def parse_date(text: str, today: date) -> date:
    """Return the date of a symbol, `TODAY-n` (n days ago) or `YYYY-MM-DD`; case does not matter.

    Raises:
        ValueError: it is none of these, or not a day of the calendar; the message lists what is allowed.
    """
    symbol = text.upper()
    if symbol in SYMBOLS:
        return SYMBOLS[symbol](today)
    try:
        if ago := _DAYS_AGO.fullmatch(symbol):
            return today - timedelta(days=int(ago[1]))
        if _ISO.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"must be a date: YYYY-MM-DD, TODAY-n or one of {', '.join(SYMBOLS)}, not {text!r}")


@lru_cache(maxsize=512)
def date_names(day: str, start: str, end: str, yesterday: str) -> Mapping[str, str]:
    """Return the built-in names made of dates; month and day have two digits.

    `start_ts` is the first moment of the range in UTC, `end_ts` its last microsecond, so that BETWEEN works.
    """
    return {
        "date": day,
        "run_date": day,
        "pipeline_run_date": day,
        "yesterday": yesterday,
        "year": day[:4],
        "month": day[5:7],
        "day": day[8:],
        "start_date": start,
        "end_date": end,
        "start_ts": f"{start}T00:00:00Z",
        "end_ts": f"{end}T23:59:59.999999Z",
    }
