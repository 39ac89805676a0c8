"""Invoices of an org: the facts of FOCUS 1.4's Invoice Detail that no table of charges has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, Self

from convergence.domain.billing_periods import TEXT_MAX, PeriodKey, check_text, digest
from convergence.domain.money import exact_sum
from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text
from convergence.errors import InvalidInput

LINES_MAX: Final = 500  # of an invoice; a document holds 1 MiB
_AMOUNT_MAX: Final = Decimal(10) ** 18
_DECIMALS_MAX: Final = 14
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
IssueStatus = Literal["Open", "Issued", "Voided"]
ISSUE_STATUSES: Final = ("Open", "Issued", "Voided")
CATEGORIES: Final = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """A line of an invoice. `grain`: what it is about, by FOCUS column; `category`: a ChargeCategory."""

    line_id: str
    amount: Decimal
    category: str = "Usage"
    description: str = ""
    grain: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_text(self.line_id, "the id of an invoice's line")
        check_amount(self.amount, f"line {self.line_id}")
        if self.category not in CATEGORIES:
            raise InvalidInput(f"line {self.line_id}: {self.category[:50]!r} is not one of {', '.join(CATEGORIES)}")
        if len(self.description) > TEXT_MAX or len(str(self.grain or "")) > 4 * TEXT_MAX:
            raise InvalidInput(f"line {self.line_id}: a description may have at most {TEXT_MAX} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice(StoredRecord):
    """An invoice for one billing period. `issued_on`, `due_on` and `payment_terms` may be unknown.

    `reference_id`: the invoice that it corrects; its own id otherwise.
    """

    key: PeriodKey
    invoice_id: str
    currency: str
    lines: tuple[InvoiceLine, ...]
    created_at: datetime
    updated_at: datetime
    status: IssueStatus = "Issued"
    issued_on: date | None = None
    due_on: date | None = None
    payment_terms: str = ""
    reference_id: str = ""
    source: str = ""  # who entered it

    def __post_init__(self) -> None:
        check_text(self.invoice_id, "the id of an invoice")
        if not _CURRENCY.fullmatch(self.currency):
            raise InvalidInput(f"invoice {self.invoice_id}: {self.currency[:10]!r} is not a code of ISO 4217")
        if self.status not in ISSUE_STATUSES:
            raise InvalidInput(f"invoice {self.invoice_id}: the status must be one of {', '.join(ISSUE_STATUSES)}")
        if not 1 <= len(self.lines) <= LINES_MAX:
            raise InvalidInput(f"invoice {self.invoice_id}: it must have 1 to {LINES_MAX} lines, not {len(self.lines)}")
        ids = [line.line_id for line in self.lines]
        if len(set(ids)) < len(ids):
            twice = next(each for each in ids if ids.count(each) > 1)
            raise InvalidInput(f"invoice {self.invoice_id}: the line {twice!r} appears twice")
        if len(self.payment_terms) > TEXT_MAX or len(self.reference_id) > TEXT_MAX:
            raise InvalidInput(f"invoice {self.invoice_id}: a text may have at most {TEXT_MAX} characters")

    @property
    def id(self) -> str:
        """Return what names it in paths: an issuer gives an invoice's id once."""
        return digest(self.key.issuer, self.invoice_id)

    @property
    def total(self) -> Decimal:
        """Return the sum of its lines."""
        return exact_sum(line.amount for line in self.lines)

    def to_data(self) -> dict[str, Any]:
        """Return JSON; amounts are text."""
        return {
            **self.unknown,
            "month": self.key.month.isoformat(),
            "issuer": self.key.issuer,
            "account": self.key.account,
            "invoice_id": self.invoice_id,
            "currency": self.currency,
            "status": self.status,
            "issued_on": self.issued_on.isoformat() if self.issued_on else None,
            "due_on": self.due_on.isoformat() if self.due_on else None,
            "payment_terms": self.payment_terms,
            "reference_id": self.reference_id,
            "source": self.source,
            "created_at": to_text(self.created_at),
            "updated_at": to_text(self.updated_at),
            "lines": [
                {
                    "line_id": line.line_id,
                    "amount": f"{line.amount:f}",
                    "category": line.category,
                    "description": line.description,
                    "grain": dict(line.grain) if line.grain is not None else None,
                }
                for line in self.lines
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, {**data, "key": data})


def check_amount(amount: Decimal, where: str) -> None:
    """Raise `InvalidInput` for what is not an amount of money."""
    places = amount.as_tuple().exponent
    if not isinstance(places, int) or abs(amount) >= _AMOUNT_MAX or -places > _DECIMALS_MAX:
        raise InvalidInput(
            f"{where}: an amount may have at most 18 digits before the decimal point and {_DECIMALS_MAX} after it"
        )
