"""Billing periods: what one may be of, how it moves, and how it is stored."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from convergence.domain.billing_periods import (
    CHANGES_MAX,
    MONTHS_MAX,
    TEXT_MAX,
    BillingPeriod,
    Change,
    PeriodKey,
    month_of,
    months,
)
from convergence.errors import InvalidInput
from tests.unit.domain.billing_sides import MONTH

KEY = PeriodKey(MONTH, "OpenAI", "org-1")
AT = datetime(2026, 11, 2, tzinfo=UTC)


def change(status: Any, hours: int = 0, reason: str = "") -> Change:
    return Change(status=status, at=AT + timedelta(hours=hours), actor="kim", reason=reason)


@pytest.mark.parametrize("text", ["", " padded", "padded ", "x" * (TEXT_MAX + 1), "two\nlines", "nul\0"])
@pytest.mark.parametrize(("name", "what"), [("issuer", "the invoice issuer"), ("account", "the billing account")])
def test_a_name_that_cannot_be_one_is_refused(name: str, what: str, text: str) -> None:
    fields: dict[str, Any] = {"month": MONTH, "issuer": "OpenAI", "account": "org-1", name: text}
    with pytest.raises(InvalidInput, match=rf"^{what} must have 1 to 500 printable characters, not '.{{0,50}}'$"):
        PeriodKey(**fields)


def test_a_name_may_have_as_many_characters_as_there_are() -> None:
    assert PeriodKey(MONTH, "x" * TEXT_MAX, "y" * TEXT_MAX).account == "y" * TEXT_MAX


@pytest.mark.parametrize("month", [date(1970, 1, 1), date(2999, 12, 1)])
def test_the_first_and_the_last_year_are_taken(month: date) -> None:
    assert PeriodKey(month, "OpenAI", "org-1").month == month
    assert month_of(f"{month:%Y-%m}") == month


@pytest.mark.parametrize(
    ("month", "message"),
    [
        (date(1969, 12, 1), "years 1970 to 2999, not 1969-12-01"),
        (date(3000, 1, 1), "years 1970 to 2999, not 3000-01-01"),
        (date(2026, 10, 2), "first day of a month, not on 2026-10-02"),
    ],
)
def test_a_period_is_of_a_month_of_those_years(month: date, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PeriodKey(month, "OpenAI", "org-1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1969-12", "'1969-12': months must be in the years 1970 to 2999"),
        ("3000-01", "'3000-01': months must be in the years 1970 to 2999"),
        ("2026-13", "'2026-13' is not a month such as"),
        ("x" * 80, f"'{'x' * 50}' is not a month such as"),
    ],
)
def test_a_text_that_is_not_a_month_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        month_of(text)


def test_one_month_to_ten_years_are_taken_at_once() -> None:
    assert months(MONTH, MONTH) == [MONTH]
    assert len(months(date(2026, 1, 1), date(2035, 12, 1))) == MONTHS_MAX


def test_the_ids_of_periods_sort_by_month_and_tell_issuer_and_account_apart() -> None:
    later = PeriodKey(date(2026, 11, 1), "OpenAI", "org-1")
    digest = "38ad4965644c3ed95e70c2b5"  # another one would lose what is stored
    assert (KEY.id, later.id) == (f"2026-10-{digest}", f"2026-11-{digest}")
    assert PeriodKey(MONTH, "OpenAIorg", "-1").id != KEY.id


def test_a_new_period_has_its_first_change() -> None:
    found = BillingPeriod.new(KEY, change("Open"))
    assert found == BillingPeriod(key=KEY, status="Open", created_at=AT, updated_at=AT, changes=(change("Open"),))


def test_a_closed_period_is_opened_for_a_reason_only() -> None:
    opened = BillingPeriod.new(KEY, change("Open"))
    assert opened.moved(change("Open", 1)) is opened
    closed = opened.moved(change("Closed", 1))
    for reason in ("", " "):
        with pytest.raises(InvalidInput, match="OpenAI, account org-1, 2026-10 is closed: give the reason"):
            closed.moved(change("Open", 2, reason))
    again = closed.moved(change("Open", 2, "a late bill"))
    assert (again.status, again.created_at, again.updated_at) == ("Open", AT, AT + timedelta(hours=2))
    assert again.changes == (change("Open"), change("Closed", 1), change("Open", 2, "a late bill"))


def test_the_latest_changes_are_kept() -> None:
    period = BillingPeriod.new(KEY, change("Open"))
    for hour in range(1, CHANGES_MAX + 1):
        period = period.moved(change("Closed" if hour % 2 else "Open", hour, "r"))
    assert [each.at for each in period.changes] == [AT + timedelta(hours=hour) for hour in range(1, CHANGES_MAX + 1)]


def test_a_period_is_stored_under_these_names_and_comes_back() -> None:
    period = BillingPeriod.new(KEY, change("Open")).moved(change("Closed", 1, "audited"))
    data = period.to_data()
    assert data == {
        "month": "2026-10-01",
        "issuer": "OpenAI",
        "account": "org-1",
        "status": "Closed",
        "created_at": "2026-11-02T00:00:00.000000Z",
        "updated_at": "2026-11-02T01:00:00.000000Z",
        "changes": [
            {"status": "Open", "at": "2026-11-02T00:00:00.000000Z", "actor": "kim", "reason": ""},
            {"status": "Closed", "at": "2026-11-02T01:00:00.000000Z", "actor": "kim", "reason": "audited"},
        ],
    }
    assert BillingPeriod.from_data(data) == period
    newer = [{**each, "from_the_future": 1} for each in data["changes"]]
    assert BillingPeriod.from_data({**data, "changes": newer, "from_the_future": 1}) == period
