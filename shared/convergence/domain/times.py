"""Times as the documents store them: fixed-width UTC text, so that text order is time order. Durations as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

_UNITS: Final[Mapping[str, str]] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"([0-9]{1,7})\s*([smhd])", re.ASCII)


@lru_cache(maxsize=512)  # the times of a run are written again with each of its moves
def to_text(at: datetime) -> str:
    """Return `2026-01-02T03:04:05.678901Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def from_text(text: str) -> datetime:
    """Parse what `to_text` wrote."""
    return datetime.fromisoformat(text)


def duration(text: str) -> timedelta | None:
    """Read `90s`, `90m`, `24h` or `2d`; None for any other text."""
    match = _DURATION.fullmatch(text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})


def following_month(month: date) -> date:
    """Return the first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
