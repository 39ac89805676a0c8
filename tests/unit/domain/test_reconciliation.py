"""Reconciliation: FOCUS 1.4's tolerance, tax apart, reasons, and nothing that is left out of sight."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.domain.billing_periods import PeriodKey
from convergence.domain.reconciliation import Reconciled, Subject, reconcile, tolerance
from tests.unit.domain.billing_sides import MONTH, SUBJECT, billed, charged, invoice


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


def test_the_tolerance_is_that_of_the_charges_currency() -> None:
    yen = replace(SUBJECT, currency="JPY")
    charges = [charged("100", subject=yen), charged("10", subject=yen, category="Tax", rows=1)]
    found = one(charges, [], [invoice(("Usage", "150"), ("Tax", "60"), currency="JPY")])
    assert (found.tolerance, found.state, found.tax_state) == (100, "within", "within")


def test_what_is_unexplained_may_be_as_much_as_the_tolerance() -> None:
    at_most = one([charged("100")], [billed("130", "29", reason="price")], [])
    assert (at_most.unexplained, at_most.tolerance, at_most.state) == (1, 1, "explained")
    more = one([charged("100")], [billed("130", "28.99", reason="price")], [])
    assert (more.unexplained, more.state) == (Decimal("1.01"), "over")


def test_parts_of_a_difference_with_the_same_reason_add_up() -> None:
    bills = [billed("60", "5", reason="price"), billed("60", "6", reason="price")]
    lines = (("Usage", "100"), ("Credit", "-10"), ("Credit", "-7"))
    assert one([charged("100")], bills, [invoice(*lines)]).reasons == {"price": 11, "credit": -17}


def test_an_invoice_is_of_the_provider_that_the_account_has_in_any_month() -> None:
    (october, november) = reconcile(
        [charged("100")], [], [invoice(("Usage", "7"), key=PeriodKey(date(2026, 11, 1), "OpenAI", "org-1"))]
    )
    assert (october.invoiced, november.subject.provider, november.invoiced) == (None, "openai", 7)
    later = replace(SUBJECT, provider="azure", month=date(2026, 11, 1))
    own, other = reconcile([charged("100"), charged("7", subject=later)], [], [invoice(("Usage", "100"))])
    assert (own.subject, own.state) == (SUBJECT, "matched"), "the account was another provider's a month later"
    assert (other.subject, other.invoiced) == (later, None)


def test_an_invoice_over_several_providers_is_beside_all_their_bills() -> None:
    charges = [charged("60"), charged("40", subject=replace(SUBJECT, provider="azure"), credential="c2")]
    bills = [billed("70", "10"), billed("45", "5", provider="azure", credential="c2", reason="price")]
    whole = reconcile(charges, bills, [invoice(("Usage", "115"))])[0]
    assert (whole.billed, whole.reasons, whole.state) == (115, {"late_data": 10, "price": 5}, "explained")


def test_a_bill_of_several_accounts_is_compared_with_the_charges_of_its_credential_only() -> None:
    other = replace(SUBJECT, account="org-2")
    charges = [
        charged("1"),
        charged("2", subject=other),
        charged("50", credential="c2"),
        charged("70", seats=True, subject=other),
    ]
    found = reconcile(charges, [billed("3", "0", reason="match")], [])
    assert [(each.subject.account, each.computed, each.state) for each in found] == [
        ("", 3, "matched"),
        ("org-1", 51, "not_compared"),
        ("org-2", 72, "not_compared"),
    ]


def test_an_answer_as_json_has_amounts_as_text() -> None:
    charges = [charged("100"), charged("19.50", category="Tax", rows=1)]
    found = one(charges, [billed("130", "30.00")], [invoice(("Usage", "140"), ("Credit", "-10"), ("Tax", "20"))])
    assert found.to_data() == {
        "month": "2026-10",
        "provider": "openai",
        "issuer": "OpenAI",
        "account": "org-1",
        "currency": "USD",
        "rows": 10,
        "computed": "100",
        "billed": "130",
        "invoiced": "130",
        "difference": "30",
        "unexplained": "10",
        "tolerance": "1",
        "state": "over",
        "reasons": {"credit": "-10", "late_data": "30"},
        "computed_tax": "19.5",
        "invoiced_tax": "20",
        "tax_state": "within",
    }


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


def test_without_an_invoice_the_providers_own_bill_is_compared_with_the_charges() -> None:
    alone = one([charged("100")], [], [])
    assert (alone.state, alone.invoiced_tax, alone.tax_state) == ("not_compared", None, "not_compared")
    assert one([charged("100")], [billed("100", "0", reason="match")], []).state == "matched"
    found = one([charged("100")], [billed("130", "30")], [])
    assert (found.invoiced, found.difference, found.unexplained, found.state) == (None, 30, 0, "explained")


@pytest.mark.parametrize("reason", ["rounding", "tier", "late_data", "price", "missing_price", "not_billed"])
def test_a_difference_with_a_class_is_explained(reason: str) -> None:
    for invoices in ([], [invoice(("Usage", "130"))]):
        found = one([charged("100")], [billed("130", "30", reason=reason)], invoices)
        assert (found.difference, found.reasons) == (30, {reason: 30})
        assert (found.unexplained, found.state) == (0, "explained")


def test_charges_that_are_not_those_that_were_compared_are_over() -> None:
    """The comparison of days said 100 on both sides; since then 40 were set aside, or a price was changed."""
    found = one([charged("60")], [billed("100", "0", reason="match")], [])
    assert (found.computed, found.billed, found.difference, found.state) == (60, 100, 40, "over")
    late = one([charged("60")], [billed("100", "30")], [])
    assert (late.unexplained, late.state) == (10, "over"), "ten more than late data"


def test_a_correction_counts_to_the_usage_of_the_bill_and_to_the_period_of_the_invoice() -> None:
    november = replace(SUBJECT, month=date(2026, 11, 1))
    charges = [charged("100"), charged("-15", subject=november, corrects=MONTH), charged("7", subject=november)]
    both = [billed("85", "0", reason="match"), billed("7", "0", reason="match", month=november.month)]
    assert [(each.computed, each.billed, each.state) for each in reconcile(charges, both, [])] == [
        (85, 85, "matched"),
        (7, 7, "matched"),
    ]
    invoices = [invoice(("Usage", "100")), invoice(("Usage", "-8"), key=PeriodKey(november.month, "OpenAI", "org-1"))]
    assert [(each.computed, each.invoiced, each.state) for each in reconcile(charges, both, invoices)] == [
        (100, 100, "matched"),
        (-8, -8, "matched"),
    ]


def test_seats_are_not_on_the_providers_own_bill() -> None:
    seats = charged("125", seats=True, category="Purchase")
    found = one([charged("100"), seats], [billed("100", "0", reason="match")], [])
    assert (found.computed, found.difference, found.reasons, found.state) == (225, -125, {"seats": -125}, "explained")
    elsewhere = charged("125", seats=True, subject=replace(SUBJECT, account="acme"))
    known, other = sorted(
        reconcile([charged("100"), elsewhere], [billed("100", "0", reason="match")], []), key=lambda each: each.computed
    )
    assert (known.state, other.state) == ("matched", "not_compared"), "seats do not make a second account of the bill"


def test_nothing_is_left_out_of_sight() -> None:
    other = Subject(MONTH, "openai", "OpenAI", "org-2", "USD")
    voided = invoice(("Usage", "7"), status="Voided")
    elsewhere = invoice(("Usage", "7"), key=PeriodKey(MONTH, "OpenAI", "org-9"))
    bills = [billed("4", "1"), billed("3", "0", reason="match"), billed("5", "5", credential="c2", reason="price")]
    found = reconcile([charged("1"), charged("2", subject=other)], bills, [voided, elsewhere])
    assert [(each.subject.account, each.computed, each.billed, each.invoiced) for each in found] == [
        ("org-9", 0, None, 7),  # an invoice without charges
        ("", 3, 12, None),  # one credential with charges of two accounts: shown with both; another one with none
        ("org-1", 1, None, None),
        ("org-2", 2, None, None),
    ]
    assert [each.state for each in found] == ["over", "over", "not_compared", "not_compared"]
    assert {each.subject.currency for each in found} == {"USD"}
    assert [(each.difference, each.unexplained) for each in found[2:]] == [(None, None), (None, None)]
    assert (found[1].difference, found[1].unexplained) == (9, 3)


def test_all_digits_are_kept() -> None:
    tiny = Decimal("0.00000000000001")
    found = one([charged("12345678901234567"), charged(f"{tiny:f}")], [], [invoice(("Usage", "12345678901234567"))])
    assert (found.computed, found.difference) == (Decimal("12345678901234567.00000000000001"), -tiny)
    assert found.to_data()["difference"] == "-0.00000000000001"
