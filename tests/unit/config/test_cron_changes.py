"""Firing instants around changes of clocks, beside those of croniter and of a minute-by-minute reading."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest

from convergence.config.cron import fire_times, fire_times_before, zone

ZONES: Final = (
    "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/Mexico_City", "America/New_York",
    "America/Santiago", "America/Sao_Paulo", "America/St_Johns", "Antarctica/Troll", "Asia/Amman", "Asia/Jerusalem",
    "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Australia/Sydney", "Europe/Berlin", "Europe/London",
    "Pacific/Apia", "Pacific/Chatham", "Pacific/Fiji",
)  # fmt: skip
FIXED: Final = ("30 1 * * *", "30 2 * * *", "15 0 * * *", "0 3 * * SUN", "45 1-2 * * *")
ELAPSED: Final = ("*/30 * * * *", "15 */2 * * *", "45 * * * *", "* 2 * * *")
YEARS: Final = (datetime(2018, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
AROUND: Final = timedelta(hours=10)


def changes(where: tzinfo) -> Iterator[datetime]:
    """Yield the hours of ten years after which the clocks in `where` are others."""
    at, end = YEARS
    known = at.astimezone(where).utcoffset()
    while at < end:
        at += timedelta(hours=1)
        now = at.astimezone(where).utcoffset()
        if now != known:
            yield at
            known = now


def between(ours: Iterator[datetime], end: datetime) -> set[datetime]:
    return set(takewhile(end.__gt__, ours))


def croniters(cron: str, where: tzinfo, after: datetime, end: datetime) -> set[datetime]:
    croniter = import_module("croniter").croniter  # it has no types
    found = croniter(cron, after.astimezone(where), ret_type=datetime)
    return between((fire.astimezone(UTC) for fire in iter(lambda: found.get_next(datetime), None)), end)


def local(instant: datetime, where: tzinfo) -> datetime:
    """Return what the clocks show, without which of two it is."""
    return instant.astimezone(where).replace(tzinfo=None, fold=0)


def is_second(instant: datetime, where: tzinfo) -> bool:
    return instant.astimezone(where).fold == 1


def is_end_of_gap(instant: datetime, where: tzinfo) -> bool:
    before, at = ((instant - timedelta(minutes=back)).astimezone(where).utcoffset() for back in (1, 0))
    assert before is not None
    assert at is not None
    return at > before


@pytest.mark.parametrize("name", ZONES)
def test_every_difference_from_croniter_is_explained(name: str) -> None:
    where = zone(name)
    for at in changes(where):
        after, end = at - AROUND, at + AROUND
        for cron in (*FIXED, *ELAPSED):
            ours, theirs = between(fire_times(cron, name, after), end), croniters(cron, where, after, end)
            for instant in ours - theirs:  # croniter leaves out a doubled time where clocks change within an hour
                assert cron in ELAPSED, (cron, instant)
                assert is_second(instant, where), (cron, instant)
            for instant in theirs - ours:
                if cron in FIXED:  # croniter fires a doubled time a second time
                    assert is_second(instant, where), (cron, instant)
                    assert any(local(fire, where) == local(instant, where) for fire in ours)
                else:  # croniter fires a time that does not exist at the end of the gap; elapsed time has no gap
                    assert is_end_of_gap(instant, where), (cron, instant)


def each_minute(hit: Callable[[datetime], bool], where: tzinfo, after: datetime, end: datetime) -> list[datetime]:
    minutes = int((end - after) / timedelta(minutes=1))
    every = (after + timedelta(minutes=number) for number in range(1, minutes))
    return [at for at in every if hit(at.astimezone(where))]


@pytest.mark.parametrize("name", ["Australia/Lord_Howe", "Antarctica/Troll", "Europe/Berlin"])
def test_elapsed_time_is_what_the_clocks_show_minute_by_minute_in_both_directions(name: str) -> None:
    where = zone(name)
    crons: dict[str, Callable[[datetime], bool]] = {
        "15 */2 * * *": lambda at: at.minute == 15 and at.hour % 2 == 0,
        "45 * * * *": lambda at: at.minute == 45,
        "*/20 1-3 * * *": lambda at: at.minute % 20 == 0 and 1 <= at.hour <= 3,
    }
    for at in list(changes(where))[:2]:
        for cron, hit in crons.items():
            for late in range(-300, 300, 45):  # a schedule may be looked at in the middle of a change
                after, end = at + timedelta(minutes=late), at + AROUND
                expected = each_minute(hit, where, after, end)
                assert list(takewhile(end.__gt__, fire_times(cron, name, after))) == expected
                assert list(takewhile(after.__lt__, fire_times_before(cron, name, end))) == expected[::-1]


TABLE: Final = Path(__file__).parents[3].joinpath("docs/scheduling.md").read_text(encoding="utf-8")
ROWS: Final = re.findall(r"^\| ([A-Z]\w+/\w+) \| `([^`]+)` \| ([-0-9:, ]+) \|", TABLE, re.MULTILINE)


@pytest.mark.parametrize(("name", "cron", "instants"), ROWS)
def test_the_table_in_the_docs_is_true(name: str, cron: str, instants: str) -> None:
    expected = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in instants.split(", ")]
    after, end = expected[0] - timedelta(hours=3), expected[-1] + timedelta(hours=3)
    assert list(takewhile(end.__gt__, fire_times(cron, name, after))) == expected


def test_the_table_in_the_docs_covers_the_zones_of_the_hard_cases() -> None:
    assert {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"} < {
        row[0] for row in ROWS
    }
