"""The months of a range of days."""

from __future__ import annotations

from datetime import date, timedelta


def months(first: date, last: date) -> list[date]:
    """Return the first day of each month from that of `first` to that of `last`."""
    found = [first.replace(day=1)]
    while (following := (found[-1] + timedelta(days=31)).replace(day=1)) <= last:
        found.append(following)
    return found


def next_month(day: date) -> date:
    """Return the first day of the month after the day's."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
