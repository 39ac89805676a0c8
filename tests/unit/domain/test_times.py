"""Durations and months as text and dates."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from convergence.domain.times import duration, following_month


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("90 m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("2d", timedelta(days=2)),
        ("9999999s", timedelta(seconds=9_999_999)),
    ],
)
def test_a_duration_has_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "90", "s", "1w", "-1s", "1.5h", "1h30m", "10000000s", "٣s"])
def test_any_other_text_is_not_a_duration(text: str) -> None:
    assert duration(text) is None


@pytest.mark.parametrize(
    ("month", "next_one"),
    [
        (date(2026, 1, 1), date(2026, 2, 1)),
        (date(2026, 11, 1), date(2026, 12, 1)),
        (date(2026, 12, 1), date(2027, 1, 1)),
        (date(2026, 10, 31), date(2026, 11, 1)),
    ],
)
def test_the_next_month_begins_on_its_first_day(month: date, next_one: date) -> None:
    assert following_month(month) == next_one
