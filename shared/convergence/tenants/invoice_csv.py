"""Invoices as CSV: a line of an invoice in each record, with the names that FOCUS 1.4 has for them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from convergence.domain.billing_periods import PeriodKey
from convergence.domain.invoices import ISSUE_STATUSES, Invoice, InvoiceLine, IssueStatus
from convergence.errors import InvalidInput

NEEDED: Final = (
    *("InvoiceIssuerName", "BillingAccountId", "BillingPeriodStart", "InvoiceId", "BillingCurrency", "BilledCost"),
)
OPTIONAL: Final = (
    *("InvoiceDetailId", "ChargeCategory", "InvoiceDetailDescription", "InvoiceIssueDate", "InvoiceIssueStatus"),
    *("PaymentDueDate", "PaymentTerms", "ReferenceInvoiceId"),
)
# What all lines of one invoice have in common.
_SHARED: Final = tuple(
    name
    for name in (*NEEDED, *OPTIONAL)
    if name not in {"BilledCost", "InvoiceDetailId", "ChargeCategory", "InvoiceDetailDescription"}
)


def read_invoices(text: str, *, at: datetime, source: str) -> list[Invoice]:
    """Return the invoices of a CSV text. Raises `InvalidInput`: the line and what is wrong with it."""
    lines: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        missing = [name for name in NEEDED if name not in columns]
        unknown = [name for name in columns if name not in {*NEEDED, *OPTIONAL}]
        if missing or unknown or len(set(columns)) != len(columns):
            wrong = f"{missing[0]} is missing" if missing else f"{unknown[0]!r}" if unknown else "a column twice"
            raise InvalidInput(
                f"line 1: {wrong}; the columns must be {', '.join(NEEDED)}, and may also be {', '.join(OPTIONAL)}"
            )
        reader.fieldnames = columns
        for row in reader:
            if None in row or None in row.values():
                raise InvalidInput(f"line {reader.line_num}: {len(columns)} values are expected")
            values = {name: value.strip() for name, value in row.items()}
            key = (values["InvoiceIssuerName"], values["InvoiceId"])
            lines.setdefault(key, []).append((reader.line_num, values))
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num}: not CSV: {error}") from error
    return [_invoice(found, at, source) for found in lines.values()]


def _invoice(lines: list[tuple[int, dict[str, str]]], at: datetime, source: str) -> Invoice:
    number, first = lines[0]
    for other, values in lines[1:]:
        differs = next((name for name in _SHARED if values.get(name) != first.get(name)), None)
        if differs is not None:
            raise InvalidInput(
                f"line {other}: {differs} is {values[differs]!r}, but {first[differs]!r} in line {number} of the same"
                " invoice"
            )
    try:
        return Invoice(
            key=PeriodKey(_day(first, "BillingPeriodStart"), first["InvoiceIssuerName"], first["BillingAccountId"]),
            invoice_id=first["InvoiceId"],
            currency=first["BillingCurrency"],
            lines=tuple(_line(place, values) for place, (_, values) in enumerate(lines, 1)),
            created_at=at,
            updated_at=at,
            status=cast("IssueStatus", _status(first)),
            issued_on=_day(first, "InvoiceIssueDate") if first.get("InvoiceIssueDate") else None,
            due_on=_day(first, "PaymentDueDate") if first.get("PaymentDueDate") else None,
            payment_terms=first.get("PaymentTerms", ""),
            reference_id=first.get("ReferenceInvoiceId", ""),
            source=source,
        )
    except InvalidInput as error:
        raise InvalidInput(f"line {number}: {error}") from error


def _status(values: Mapping[str, str]) -> str:
    status = values.get("InvoiceIssueStatus") or "Issued"
    if status not in ISSUE_STATUSES:
        raise InvalidInput(f"InvoiceIssueStatus must be one of {', '.join(ISSUE_STATUSES)}, not {status[:50]!r}")
    return status


def _line(place: int, values: Mapping[str, Any]) -> InvoiceLine:
    """Return a line; one without an id is identified by its position."""
    try:
        amount = Decimal(values["BilledCost"])
    except InvalidOperation:
        raise InvalidInput(f"BilledCost {values['BilledCost'][:50]!r} is not an amount") from None
    return InvoiceLine(
        line_id=values.get("InvoiceDetailId") or f"{values['InvoiceId']}-{place}",
        amount=amount,
        category=values.get("ChargeCategory") or "Usage",
        description=values.get("InvoiceDetailDescription", ""),
    )


def _day(values: Mapping[str, str], name: str) -> date:
    """Return a day; a time is FOCUS's for midnight."""
    text = values[name].removesuffix("T00:00:00Z")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{name} {text[:50]!r} is not a day such as 2026-11-01") from None
