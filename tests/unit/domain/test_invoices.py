"""Invoices: the bounds of their texts, lines and amounts, and how they are stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.domain.billing_periods import TEXT_MAX, PeriodKey
from convergence.domain.invoices import LINES_MAX, Invoice, InvoiceLine, check_amount
from convergence.errors import InvalidInput
from tests.unit.domain.billing_sides import MONTH, invoice

GRAIN_MAX = 4 * TEXT_MAX  # characters as Python writes it


def line(**changes: Any) -> InvoiceLine:
    return InvoiceLine(**{"line_id": "7", "amount": Decimal("1.5"), **changes})


def grain(size: int) -> dict[str, str]:
    return {"ServiceName": "x" * (size - len(str({"ServiceName": ""})))}


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "x" * TEXT_MAX},
        {"grain": grain(GRAIN_MAX)},
        {"category": "Credit"},
        {"line_id": "x" * TEXT_MAX},
        {"amount": Decimal(-999999999999999999)},
    ],
)
def test_a_line_may_be_as_long_as_that(changes: dict[str, Any]) -> None:
    assert line(**changes) == replace(line(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"description": "x" * (TEXT_MAX + 1)}, "line 7: a description may have at most 500"),
        ({"grain": grain(GRAIN_MAX + 1)}, "line 7: a description may have at most 500"),
        ({"category": "Refund"}, "line 7: 'Refund' is not one of Usage, Purchase, Tax, Credit, Adjustment"),
        ({"category": "x" * 51}, f"line 7: '{'x' * 50}' is not one of"),
        ({"line_id": ""}, "^the id of an invoice's line must have"),
        ({"amount": Decimal("1E+18")}, "^line 7: an amount may have at most 18 digits"),
    ],
)
def test_a_line_beyond_its_bounds_is_refused_by_its_id(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        line(**changes)


@pytest.mark.parametrize("amount", ["0", "-1.5", "999999999999999999", "0.00000000000001", "1E+15"])
def test_an_amount_of_money_is_taken(amount: str) -> None:
    check_amount(Decimal(amount), "here")


@pytest.mark.parametrize(
    "amount", ["1000000000000000000", "-1E+18", "0.000000000000001", "1.000000000000000", "NaN", "Infinity", "sNaN"]
)
def test_what_is_not_an_amount_of_money_is_refused(amount: str) -> None:
    with pytest.raises(
        InvalidInput,
        match=r"^here: an amount may have at most 18 digits before the decimal point"
        r" and 14 after it",
    ):
        check_amount(Decimal(amount), "here")


def lines(count: int) -> tuple[InvoiceLine, ...]:
    return tuple(line(line_id=str(number)) for number in range(count))


@pytest.mark.parametrize(
    "changes",
    [
        {"lines": lines(1)},
        {"lines": lines(LINES_MAX)},
        {"payment_terms": "x" * TEXT_MAX},
        {"reference_id": "x" * TEXT_MAX},
        {"status": "Open"},
        {"currency": "JPY"},
    ],
)
def test_an_invoice_may_be_as_large_as_that(changes: dict[str, Any]) -> None:
    whole = invoice(("Usage", "1"))
    assert invoice(("Usage", "1"), **changes) == replace(whole, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lines": ()}, "invoice INV-1: it must have 1 to 500 lines, not 0"),
        ({"lines": lines(LINES_MAX + 1)}, "invoice INV-1: it must have 1 to 500 lines, not 501"),
        ({"lines": (*lines(3), line(line_id="1"))}, "invoice INV-1: the line '1' appears twice"),
        ({"payment_terms": "x" * (TEXT_MAX + 1)}, "invoice INV-1: a text may have at most 500"),
        ({"reference_id": "x" * (TEXT_MAX + 1)}, "invoice INV-1: a text may have at most 500"),
        ({"status": "Paid"}, "invoice INV-1: the status must be one of Open, Issued, Voided"),
        ({"currency": "usd"}, "invoice INV-1: 'usd' is not a code of ISO 4217"),
        ({"currency": "USDX"}, "invoice INV-1: 'USDX' is not a code"),
        ({"currency": "X" * 11}, f"invoice INV-1: '{'X' * 10}' is not a code"),
        ({"invoice_id": " INV-1"}, "^the id of an invoice must have"),
    ],
)
def test_an_invoice_beyond_its_bounds_is_refused_by_its_id(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        invoice(("Usage", "1"), **changes)


def test_an_issuer_gives_an_id_once_and_the_total_keeps_all_digits() -> None:
    one = invoice(("Usage", "999999999999999999"), ("Tax", "0.00000000000001"))
    assert one.total == Decimal("999999999999999999.00000000000001")
    november = replace(one, key=PeriodKey(date(2026, 11, 1), "OpenAI", "org-2"))
    other = replace(one, key=PeriodKey(MONTH, "Azure", "org-1"))
    assert one.id == november.id == "0588eb3d3826f4a337343184", "another one would lose what is stored"
    assert len({one.id, other.id, replace(one, invoice_id="INV-2").id}) == 3


def test_an_invoice_is_stored_under_these_names_and_comes_back() -> None:
    at = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
    whole = Invoice(
        key=PeriodKey(MONTH, "OpenAI", "org-1"), invoice_id="INV-1", currency="EUR", status="Voided", created_at=at,
        updated_at=at.replace(hour=4), issued_on=date(2026, 11, 1), due_on=date(2026, 12, 1), payment_terms="30 days",
        reference_id="INV-0", source="kim",
        lines=(
            line(amount=Decimal("1E+3"), category="Tax", description="d", grain={"ServiceName": "s"}),
            line(line_id="8"),
        ),
    )  # fmt: skip
    data = whole.to_data()
    assert data == {
        "month": "2026-10-01",
        "issuer": "OpenAI",
        "account": "org-1",
        "invoice_id": "INV-1",
        "currency": "EUR",
        "status": "Voided",
        "issued_on": "2026-11-01",
        "due_on": "2026-12-01",
        "payment_terms": "30 days",
        "reference_id": "INV-0",
        "source": "kim",
        "created_at": "2026-11-02T03:04:05.000000Z",
        "updated_at": "2026-11-02T04:04:05.000000Z",
        "lines": [
            {
                "line_id": "7",
                "amount": "1000",
                "category": "Tax",
                "description": "d",
                "grain": {"ServiceName": "s"},
            },
            {"line_id": "8", "amount": "1.5", "category": "Usage", "description": "", "grain": None},
        ],
    }
    assert Invoice.from_data(data) == whole
    newer = [{**each, "from_the_future": 1} for each in data["lines"]]
    assert Invoice.from_data({**data, "lines": newer, "from_the_future": 1}) == whole
    older = {name: value for name, value in data.items() if name not in {"payment_terms", "reference_id", "source"}}
    assert Invoice.from_data(older) == replace(whole, payment_terms="", reference_id="", source="")
    undated = replace(whole, issued_on=None, due_on=None)
    assert (undated.to_data()["issued_on"], undated.to_data()["due_on"]) == (None, None)
    assert Invoice.from_data(undated.to_data()) == undated
