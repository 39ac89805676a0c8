"""Charges, bills and invoices that are compared with each other."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from convergence.domain.billing_periods import PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.domain.reconciliation import Billed, Charged, Subject

MONTH = date(2026, 10, 1)
SUBJECT = Subject(MONTH, "openai", "OpenAI", "org-1", "USD")


def charged(cost: str, **changes: Any) -> Charged:
    fixed: dict[str, Any] = {"subject": SUBJECT, "credential": "c1", "category": "Usage", "rows": 10}
    return Charged(cost=Decimal(cost), **{**fixed, **changes})


def billed(cost: str, difference: str, **changes: Any) -> Billed:
    fixed: dict[str, Any] = {"month": MONTH, "provider": "openai", "credential": "c1", "currency": "USD"}
    fixed |= {"reason": "late_data", "cost": Decimal(cost), "difference": Decimal(difference)}
    return Billed(**{**fixed, **changes})


def invoice(*lines: tuple[str, str], **changes: Any) -> Invoice:
    at = datetime(2026, 11, 2, tzinfo=UTC)
    fixed: dict[str, Any] = {
        "key": PeriodKey(MONTH, "OpenAI", "org-1"), "invoice_id": "INV-1", "currency": "USD", "created_at": at,
        "updated_at": at,
        "lines": tuple(
            InvoiceLine(line_id=f"{number}", amount=Decimal(amount), category=category)
            for number, (category, amount) in enumerate(lines)
        ),
    }  # fmt: skip
    return Invoice(**{**fixed, **changes})
