"""Reconciliation: FOCUS 1.4's tolerance, tax apart, reasons, and nothing that is left out of sight."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from convergence.domain.billing_periods import PeriodKey
from convergence.domain.reconciliation import Reconciled, Subject, reconcile, tolerance
from tests.unit.domain.billing_sides import MONTH, billed, charged, invoice


def one(*given: Any) -> Reconciled:
    (found,) = reconcile(*given)
    return found


@pytest.mark.parametrize(
    ("currency", "rows", "amount"),
    [
        ("USD", 0, "1"),  # 100 cents
        ("USD", 40_000, "1"),  # half a cent x 200
        ("USD", 40_001, "1.00001249992188"),
        ("USD", 4_000_000, "10"),
        ("JPY", 1, "100"),
        ("KWD", 1, "0.1"),
    ],
)
def test_the_tolerance_is_that_of_focus_1_4(currency: str, rows: int, amount: str) -> None:
    assert tolerance(currency, rows) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "state"), [("100", "matched"), ("101", "within"), ("99", "within"), ("101.01", "over"), ("0", "over")]
)
def test_an_invoice_is_compared_within_the_tolerance(amount: str, state: str) -> None:
    found = one([charged("100")], [], [invoice(("Usage", amount))])
    assert (found.state, found.difference) == (state, Decimal(amount) - 100)


def test_tax_is_compared_apart() -> None:
    found = one([charged("100"), charged("19", category="Tax", rows=1)], [], [invoice(("Usage", "100"), ("Tax", "25"))])
    assert (found.rows, found.computed, found.computed_tax, found.invoiced_tax) == (10, 100, 19, 25)
    assert (found.state, found.tax_state) == ("matched", "over")


def test_what_has_a_reason_is_named_and_the_rest_counts() -> None:
    late = billed("130", "30")
    explained = one([charged("100")], [late], [invoice(("Usage", "140"), ("Credit", "-10"))])
    assert explained.reasons == {"late_data": 30, "credit": -10}
    assert (explained.billed, explained.difference, explained.unexplained) == (130, 30, 10)
    assert explained.state == "over", "ten are unexplained"
    assert (
        one([charged("100")], [late], [invoice(("Usage", "140"), ("Purchase", "5.5"), ("Credit", "-10"))]).state
        == "over"
    )
    whole = one([charged("100")], [late], [invoice(("Usage", "130.5"), ("Credit", "-10"))])
    assert (whole.unexplained, whole.state) == (Decimal("0.5"), "explained")
    own = one([charged("110"), charged("-10", category="Credit")], [], [invoice(("Usage", "110"), ("Credit", "-20"))])
    assert (own.reasons, own.state) == ({}, "over"), "a credit that charges have too is not a reason"


def test_without_an_invoice_the_providers_own_bill_is_compared() -> None:
    assert one([charged("100")], [], []).state == "not_compared"
    assert one([charged("100")], [billed("100", "0", reason="match")], []).state == "matched"
    found = one([charged("100")], [billed("130", "30")], [])
    assert (found.invoiced, found.difference, found.state) == (None, 30, "explained")


def test_nothing_is_left_out_of_sight() -> None:
    other = Subject(MONTH, "openai", "OpenAI", "org-2", "USD")
    voided = invoice(("Usage", "7"), status="Voided")
    elsewhere = invoice(("Usage", "7"), key=PeriodKey(MONTH, "OpenAI", "org-9"))
    found = reconcile([charged("1"), charged("2", subject=other)], [billed("4", "1")], [voided, elsewhere])
    assert [(each.subject.account, each.computed, each.billed, each.invoiced) for each in found] == [
        ("org-9", 0, None, 7),  # an invoice without charges
        ("", 0, 4, None),  # one credential with charges of two accounts: the bill is shown, and assigned to neither
        ("org-1", 1, None, None),
        ("org-2", 2, None, None),
    ]
    assert [each.state for each in found] == ["over", "within", "not_compared", "not_compared"]


def test_all_digits_are_kept() -> None:
    tiny = Decimal("0.00000000000001")
    found = one([charged("12345678901234567"), charged(f"{tiny:f}")], [], [invoice(("Usage", "12345678901234567"))])
    assert (found.computed, found.difference) == (Decimal("12345678901234567.00000000000001"), -tiny)
    assert found.to_data()["difference"] == "-0.00000000000001"
