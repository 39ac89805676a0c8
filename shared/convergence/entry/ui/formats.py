"""Numbers, money and times as the pages write them; templates use these as filters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from convergence.domain.money import exact_text
from convergence.domain.times import from_text

NOTHING: Final = "–"  # a missing value is never 0
_CENT: Final = Decimal("0.01")
_LEAST: Final = Decimal("0.0001")
_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_NOW: Final[ContextVar[datetime | None]] = ContextVar("now", default=None)  # of the page that is rendered


def number(value: float | None) -> str:
    """Return `1,054`."""
    return NOTHING if value is None else f"{value:,}"


def money(value: Decimal | None) -> str:
    """Return `1,912.40`; under one cent four decimals, and what is less is not 0. The page names the currency."""
    if value is None:
        return NOTHING
    if value and abs(value) < _LEAST:
        return f"< {_LEAST}" if value > 0 else f"> −{_LEAST}"
    digits = 4 if value and abs(value) < _CENT else 2
    return f"{value:,.{digits}f}".replace("-", "−")


def plain(value: Decimal | None) -> str:
    """Return every digit of an exact number and no more."""
    return NOTHING if value is None else exact_text(value)


def signed(value: Decimal | None) -> str:
    """Return money with its sign, a real minus."""
    return NOTHING if value is None else ("+" if value >= _LEAST else "") + money(value)


def percent(part: float | None, whole: float = 1) -> str:
    """Return `93.3 %` of a part; a share that would round to zero is `< 0.1 %`."""
    if part is None or not whole:
        return NOTHING
    share = 100 * part / whole
    return "< 0.1 %" if 0 < share < 0.05 else f"{share:.1f} %"


def duration(ms: float | None) -> str:
    """Return at most two units: `340 ms`, `8.4 s`, `22 s`, `1 min 58 s`, `2 h 14 min`."""
    if ms is None:
        return NOTHING
    if ms < _SECOND:
        return f"{ms:.0f} ms"
    if ms < 10 * _SECOND:
        return f"{ms / _SECOND:.1f} s"
    for unit, name, smaller, small_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", _SECOND, "s"),
    ):
        if ms >= unit:
            large, rest = divmod(int(ms), unit)
            return f"{large} {name}" + (f" {rest // smaller} {small_name}" if rest >= smaller else "")
    return f"{ms / _SECOND:.0f} s"


def clock(ms: float) -> str:
    """Return `0:45`, `11:00` or `1:02:03`, for an axis."""
    minutes, seconds = divmod(round(ms / _SECOND), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def counted(count: int, one: str, many: str = "") -> str:
    """Return `1 run` or `1,054 runs`; `many` where it is more than `one` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@contextmanager
def as_of(now: datetime) -> Iterator[None]:
    """Let the filters below leave out the year of `now`, the time of the page that is rendered."""
    token = _NOW.set(now)
    try:
        yield
    finally:
        _NOW.reset(token)


def dated(at: date, now: date | None, clock: str = "") -> str:
    """Return `Sat 24 Oct` in the zone of `at`, with its year unless `now` is in it, then the time as `clock` says."""
    year = "" if now is not None and at.year == now.year else " %Y"
    return at.strftime(f"%a %-d %b{year} {clock}".rstrip())


def moment(at: str | datetime | None) -> str:
    """Return `Sat 24 Oct 03:00:00` in UTC of a time; of another year `Thu 24 Oct 2024 03:00:00`."""
    return NOTHING if at is None else dated(_utc(at), _NOW.get(), "%H:%M:%S")


def minute(at: str | datetime | None) -> str:
    """Return `Sat 24 Oct 03:00` in UTC of a time; of another year with that."""
    return NOTHING if at is None else dated(_utc(at), _NOW.get(), "%H:%M")


def day(at: str | date | None) -> str:
    """Return `Sat 24 Oct` of a day, or of a time in UTC; of another year with that."""
    if at is None:
        return NOTHING
    return dated(_utc(at) if isinstance(at, (str, datetime)) else at, _NOW.get())


def _utc(at: str | datetime) -> datetime:
    return (from_text(at) if isinstance(at, str) else at).astimezone(UTC)


def exact(text: str) -> str:
    """Return `03:00:00.004` in UTC of a stored time, for logs."""
    return from_text(text).astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def ago(text: str | None, now: datetime) -> str:
    """Return `11 min ago`, or `in 53 min` of a time to come."""
    if text is None:
        return NOTHING
    ms = (now - from_text(text)).total_seconds() * 1_000
    words = duration(abs(ms)) if abs(ms) >= _MINUTE else "under a minute"
    return f"{words} ago" if ms >= 0 else f"in {words}"


def pretty(value: Any) -> str:
    """Return a value as indented JSON."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()


def clipped(text: str, most: int) -> str:
    """Return the beginning of a text, with a mark where it is cut."""
    return text if len(text) <= most else text[:most] + " …"


FILTERS: Final = {
    "number": number,
    "money": money,
    "plain": plain,
    "signed": signed,
    "percent": percent,
    "duration": duration,
    "counted": counted,
    "moment": moment,
    "minute": minute,
    "day": day,
    "exact": exact,
    "pretty": pretty,
    "clipped": clipped,
}
