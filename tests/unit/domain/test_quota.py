"""Reservations of an org's runs, and the places of caps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from convergence.domain.caps import Cap, CapShard
from convergence.domain.quota import Limits, Usage
from convergence.errors import QuotaExceeded

NOW = datetime(2026, 11, 10, 22, 30, 15, 250_000, tzinfo=UTC)
LIMITS = Limits(daily=3, monthly=5, concurrent=2)
LATER = NOW + timedelta(hours=1)


def reserved(usage: Usage, run_id: str = "r", *, now: datetime = NOW, counted: bool = True) -> Usage:
    return usage.reserve(run_id, LIMITS, now=now, until=now + timedelta(hours=1), counted=counted, token="t")


def test_a_reservation_counts_for_its_day_and_month() -> None:
    usage = reserved(Usage(active={}))
    assert (usage.day, usage.day_count, usage.month, usage.month_count) == ("2026-11-10", 1, "2026-11", 1)
    assert (usage.active, usage.token) == ({"r": LATER}, "t")
    again = reserved(usage, counted=False)
    assert (again.day_count, again.month_count, again.active) == (1, 1, {"r": LATER})


def test_a_new_day_and_a_new_month_begin_at_nothing() -> None:
    full = Usage(day="2026-11-30", day_count=3, month="2026-11", month_count=4, active={})
    december = reserved(full, now=datetime(2026, 12, 1, tzinfo=UTC))
    assert (december.day, december.day_count, december.month, december.month_count) == ("2026-12-01", 1, "2026-12", 1)


def test_a_full_day_opens_at_midnight() -> None:
    full = Usage(day="2026-11-10", day_count=3, month="2026-11", month_count=3, active={})
    with pytest.raises(QuotaExceeded, match=r"Daily pipeline limit \(3\)") as refused:
        reserved(full)
    assert refused.value.retry_after_s == timedelta(hours=1, minutes=29, seconds=44, milliseconds=750).total_seconds()


@pytest.mark.parametrize(
    ("day", "counted_on", "count"),
    [
        ("2026-11-11", "2026-11-11", 3),  # a clock ahead of this one: the day that has begun goes on
        ("2026-11-12", "2026-11-10", 1),  # no clock is ahead by more than a day
        ("2026-11-09", "2026-11-10", 1),
    ],
)
def test_clocks_that_disagree_about_the_day(day: str, counted_on: str, count: int) -> None:
    usage = reserved(Usage(day=day, day_count=2, month="2026-11", month_count=2, active={}))
    assert (usage.day, usage.day_count) == (counted_on, count)


def test_a_place_is_void_from_its_end_on() -> None:
    usage = Usage(day="", month="", active={"a": NOW, "b": NOW + timedelta(microseconds=1)})
    assert reserved(usage).active.keys() == {"b", "r"}
    with pytest.raises(QuotaExceeded, match=r"Concurrent pipeline limit \(2\)"):
        reserved(Usage(active={"a": LATER, "b": LATER}))


def test_a_caps_places_are_spread_over_its_shards_and_add_up() -> None:
    cap = Cap("provider-openai", 11, 4)
    assert [cap.share(shard) for shard in range(4)] == [3, 3, 3, 2]
    assert cap.paths() == [f"caps/provider-openai.{shard}" for shard in range(4)]


def test_a_cap_has_a_document_for_every_few_places_up_to_fifty() -> None:
    assert [Cap.sharded("c", limit, 10).shards for limit in (0, 1, 10, 11, 120, 9_999)] == [1, 1, 1, 2, 12, 50]


def test_places_taken_under_another_limit_count_too() -> None:
    cap = Cap("c", 20, 2)
    assert cap.free([10, 4]) == 6
    assert cap.free([15, 0]) == 5, "the first document was the only one when its places were taken"
    assert cap.free([25, 0]) == 0


def test_a_shard_keeps_the_places_that_are_not_void() -> None:
    shard = CapShard(held={"a": NOW, "b": LATER, "c": LATER}, token="before")
    assert shard.active(NOW) == {"b": LATER, "c": LATER}
    assert shard.active(NOW, but="c") == {"b": LATER}
    ends = LATER + timedelta(hours=1)
    assert shard.taken("c", now=NOW, until=ends, token="after") == CapShard(held={"b": LATER, "c": ends}, token="after")
