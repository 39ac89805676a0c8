"""Token buckets."""

from __future__ import annotations

from typing import Any

import pytest

from convergence.domain.rate import Bucket, Buckets, Taken


def test_a_burst_of_a_minute_passes_and_the_next_waits_for_one_token() -> None:
    buckets = Buckets(60)
    assert all(buckets.take("acme", 0.0).allowed for _ in range(60))
    refused = buckets.take("acme", 0.0)
    assert (refused.allowed, refused.remaining, refused.retry_after_s) == (False, 0, pytest.approx(1.0))
    assert buckets.take("acme", 1.0).allowed
    assert not buckets.take("acme", 1.0).allowed


def test_callers_do_not_share() -> None:
    buckets = Buckets(1)
    assert buckets.take("acme", 0.0).allowed
    assert buckets.take("globex", 0.0).allowed
    assert not buckets.take("acme", 0.0).allowed


def test_a_bucket_never_holds_more_than_its_limit() -> None:
    buckets = Buckets(2)
    taken = buckets.take("acme", 1_000_000.0)
    assert (taken.remaining, taken.reset_s) == (1, pytest.approx(30.0))
    assert buckets.take("acme", 2_000_000.0).remaining == 1


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    buckets = Buckets(1)
    buckets.take("acme", 100.0)
    assert not buckets.take("acme", 50.0).allowed
    assert not buckets.take("acme", 100.0).allowed


def test_memory_is_bounded() -> None:
    buckets = Buckets(1, callers_max=10)
    for n in range(1000):
        buckets.take(str(n), 0.0)
    assert len(buckets) == 10


def test_the_caller_that_was_idle_longest_is_forgotten_first() -> None:
    buckets = Buckets(1, callers_max=2)
    for caller in ("busy", "idle", "busy", "new"):
        buckets.take(caller, 0.0)
    assert [buckets.look(caller, 0.0).allowed for caller in ("busy", "idle", "new")] == [False, True, False]


def test_an_answer_counts_what_is_left_and_how_long_to_wait() -> None:
    near: Any = pytest.approx
    full = Bucket(5.0, 100.0)
    taken, left = full.take(120, 100.0)
    assert (taken, left) == (Taken(True, 120, 4, 0.0, near(58.0)), Bucket(4.0, 100.0))
    empty = Bucket(0.5, 100.0)
    refused, left = empty.take(120, 100.1)  # two tokens a second: 0.7 by now
    assert refused == Taken(False, 120, 0, near(0.15), near(59.65))
    assert (left.tokens, left.at) == (pytest.approx(0.7), 100.1)
