"""Which closed periods are published."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.domain.billing_periods import BillingPeriod, Change, PeriodKey, months
from convergence.domain.publication import NOTHING, Part, Policy, Total, decide
from convergence.domain.reconciliation import Subject, reconcile
from convergence.errors import InvalidInput
from tests.unit.domain.billing_sides import MONTH, billed, charged, invoice

PART = Part(MONTH, "OpenAI", "org-1", "USD")
AT = datetime(2026, 11, 2, tzinfo=UTC)
BLOCKED = Policy()
SHOWN = Policy(over="published", not_compared="published")


def period(status: Any = "Closed", account: str = "org-1") -> BillingPeriod:
    return BillingPeriod.new(PeriodKey(MONTH, "OpenAI", account), Change(status=status, at=AT, actor="test"))


def decided(charges: list[Any], bills: list[Any], invoices: list[Any], policy: Policy = BLOCKED) -> tuple[bool, str]:
    totals = {PART: Total(10, Decimal(100))}
    (found,) = decide([period()], totals, reconcile(charges, bills, invoices), policy)
    assert (found.part, found.total) == (PART, totals[PART])
    return found.published, found.reason


OVER = "openai: the difference of 1.01 USD is over the tolerance of 1, 1.01 of it unexplained"


@pytest.mark.parametrize(
    ("lines", "published", "reason"),
    [
        ([("Usage", "100")], True, ""),
        ([("Usage", "101")], True, ""),
        ([("Usage", "101.01")], False, OVER),
        ([("Usage", "100"), ("Tax", "19")], False, "openai: tax of 0, invoiced 19"),
        ([("Usage", "101.01"), ("Tax", "19")], False, f"{OVER}; openai: tax of 0, invoiced 19"),
    ],
)
def test_what_is_over_the_tolerance_is_withheld_unless_the_policy_shows_it(
    lines: list[tuple[str, str]], published: bool, reason: str
) -> None:
    assert decided([charged("100")], [], [invoice(*lines)]) == (published, reason)
    assert decided([charged("100")], [], [invoice(*lines)], SHOWN) == (True, reason)


def test_a_period_without_bill_and_invoice_is_withheld() -> None:
    for charges in ([charged("100")], []):
        published, reason = decided(charges, [], [])
        assert (published, NOTHING in reason) == (False, True)
        assert decided(charges, [], [], SHOWN)[0]
    assert decided([charged("100")], [billed("130", "30")], []) == (True, ""), "the bill explains it"


def test_open_periods_and_those_of_other_accounts_are_not_decided() -> None:
    totals = {PART: Total(1, Decimal(1))}
    for other in (period("Open"), period(account="org-2")):
        assert decide([other], totals, [], SHOWN) == []


def test_an_invoice_over_several_providers_is_compared_with_all_their_charges() -> None:
    other = Subject(MONTH, "azure", "OpenAI", "org-1", "USD")
    charges = [charged("60"), charged("40", subject=other)]
    found = reconcile(charges, [billed("70", "10")], [invoice(("Usage", "100"))])
    assert [(each.subject.provider, each.state, each.computed, each.invoiced) for each in found] == [
        ("", "matched", Decimal(100), Decimal(100)),
        ("azure", "not_compared", Decimal(40), None),
        ("openai", "explained", Decimal(60), None),
    ]
    assert decided(charges, [billed("70", "10")], [invoice(("Usage", "100"))]) == (True, "")
    assert not decided(charges, [], [invoice(("Usage", "60"))])[0], "not with those of one of them"
    twice = reconcile(charges, [], [invoice(("Usage", "60")), invoice(("Usage", "40"), invoice_id="INV-2")])
    assert (twice[0].computed, twice[0].invoiced) == (Decimal(100), Decimal(100))


def test_the_comparison_over_all_providers_is_named_so() -> None:
    charges = [charged("60"), charged("40", subject=Subject(MONTH, "azure", "OpenAI", "org-1", "USD"))]
    published, reason = decided(charges, [], [invoice(("Usage", "90"))])
    assert (published, reason.partition(" is over")[0]) == (False, "all providers: the difference of -10 USD")


def test_a_comparison_of_one_provider_with_its_invoice_does_not_speak_for_the_others() -> None:
    other = Subject(MONTH, "azure", "OpenAI", "org-1", "USD")
    reconciled = reconcile([charged("60")], [], [invoice(("Usage", "60"))])
    reconciled += reconcile([charged("40", subject=other)], [], [])
    (found,) = decide([period()], {PART: Total(2, Decimal(100))}, reconciled, BLOCKED)
    assert (found.published, found.reason) == (False, f"azure: {NOTHING}")


def test_decisions_come_in_the_order_of_their_parts_and_as_json() -> None:
    euros = Part(MONTH, "OpenAI", "org-1", "EUR")
    totals = {PART: Total(1, Decimal("1.50")), euros: Total(2, Decimal(3))}
    found = decide([period()], totals, [], SHOWN)
    assert [each.part for each in found] == [euros, PART]
    assert found[1].to_data() == {
        "month": "2026-10",
        "issuer": "OpenAI",
        "account": "org-1",
        "currency": "USD",
        "charges": 1,
        "cost": "1.5",
        "published": True,
        "reason": NOTHING,
    }


def test_months_are_counted_over_years_and_bounded() -> None:
    assert months(date(2026, 11, 1), date(2027, 2, 1)) == [
        date(2026, 11, 1),
        date(2026, 12, 1),
        date(2027, 1, 1),
        date(2027, 2, 1),
    ]
    for last in (date(2026, 10, 1), date(2036, 11, 1)):
        with pytest.raises(InvalidInput, match="1 to 120 months"):
            months(date(2026, 11, 1), last)
