"""The data sets of FOCUS 1.4 other than the charges, as far as their facts are recorded; what is missing is listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson

from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.invoices import Invoice
from convergence.domain.times import following_month
from convergence.ports.warehouse import Row
from convergence.processors.focus.export.datasets import Field, Version

BILLING_PERIOD: Final = "BillingPeriod"
INVOICE_DETAIL: Final = "InvoiceDetail"
CONTRACT_COMMITMENT: Final = "ContractCommitment"
PERIOD_FIELDS: Final = (
    Field("BillingPeriodCreated", "TIMESTAMP", needed=True),
    Field("BillingPeriodEnd", "TIMESTAMP", needed=True),
    Field("BillingPeriodLastUpdated", "TIMESTAMP", needed=True),
    Field("BillingPeriodStart", "TIMESTAMP", needed=True),
    Field("BillingPeriodStatus", needed=True),
    Field("InvoiceIssuerName", needed=True),
)
COMMITMENT_FIELDS: Final = (
    Field("BillingCurrency"),
    Field("ContractCommitmentCategory", needed=True),
    Field("ContractCommitmentCost", "DECIMAL"),
    Field("ContractCommitmentDescription"),
    Field("ContractCommitmentId", needed=True),
    Field("ContractCommitmentPeriodEnd", "TIMESTAMP", needed=True),
    Field("ContractCommitmentPeriodStart", "TIMESTAMP", needed=True),
    Field("ContractCommitmentQuantity", "DECIMAL"),
    Field("ContractCommitmentType", needed=True),
    Field("ContractCommitmentUnit"),
    Field("ContractId", needed=True),
    Field("ContractPeriodEnd", "TIMESTAMP", needed=True),
    Field("ContractPeriodStart", "TIMESTAMP", needed=True),
)
_NO_COMMITMENT: Final = "no commitment of these days is recorded (genai/commitment/edit)"
# What 1.4 adds, without the conditional columns: partial upfront payment, and prices in another currency.
TERM_FIELDS: Final = (
    Field("ContractCommitmentApplicability", needed=True),
    Field("ContractCommitmentBenefitCategory", needed=True),
    Field("ContractCommitmentCreated", "TIMESTAMP", needed=True),
    Field("ContractCommitmentDiscountPercentage", "DECIMAL"),
    Field("ContractCommitmentDurationType", needed=True),
    Field("ContractCommitmentFulfillmentInterval", needed=True),
    Field("ContractCommitmentLastUpdated", "TIMESTAMP", needed=True),
    Field("ContractCommitmentLifecycleStatus", needed=True),
    Field("ContractCommitmentModel", needed=True),
    Field("ContractCommitmentOfferCategory", needed=True),
    Field("ContractCommitmentPaymentInterval", needed=True),
    Field("ContractCommitmentPaymentModel", needed=True),
    Field("InvoiceIssuerName", needed=True),
    Field("ServiceProviderName", needed=True),
)
TERMS: Final = "x_Terms"  # the column with the terms of a commitment that 1.3 has no columns for
_NEWER_FIELDS: Final = tuple(sorted((*COMMITMENT_FIELDS, *TERM_FIELDS), key=lambda each: each.name))
# Without the conditional columns: payment in another currency, and purchase orders, are not recorded.
INVOICE_FIELDS: Final = (
    Field("BilledCost", "DECIMAL", needed=True),
    Field("BillingAccountId", needed=True),
    Field("BillingCurrency", needed=True),
    Field("BillingPeriodEnd", "TIMESTAMP", needed=True),
    Field("BillingPeriodStart", "TIMESTAMP", needed=True),
    Field("ChargeCategory", needed=True),
    Field("InvoiceDetailCreated", "TIMESTAMP", needed=True),
    Field("InvoiceDetailDescription"),
    Field("InvoiceDetailGrain"),
    Field("InvoiceDetailId", needed=True),
    Field("InvoiceDetailLastUpdated", "TIMESTAMP", needed=True),
    Field("InvoiceId", needed=True),
    Field("InvoiceIssueDate", "TIMESTAMP"),
    Field("InvoiceIssueStatus", needed=True),
    Field("InvoiceIssuerName", needed=True),
    Field("PaymentDueDate", "TIMESTAMP"),
    Field("PaymentTerms", needed=True),
    Field("ReferenceInvoiceId", needed=True),
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set of a bundle; `missing`: the rows that it cannot have, and why."""

    name: str
    fields: Sequence[Field]
    rows: Sequence[Row]
    missing: list[str] = field(default_factory=list)


def billing_periods(periods: Iterable[BillingPeriod], month: date, issuers: Iterable[str]) -> Dataset:
    """Return a row for each issuer: Closed when it has closed the month for all accounts.

    `issuers`: those of the month's charges; one without a recorded period gets no row.
    """
    found: dict[str, list[BillingPeriod]] = {}
    for period in periods:
        if period.key.month == month:
            found.setdefault(period.key.issuer, []).append(period)
    rows = [
        {
            "BillingPeriodCreated": min(each.created_at for each in own),
            "BillingPeriodEnd": _midnight(following_month(month)),
            "BillingPeriodLastUpdated": max(each.updated_at for each in own),
            "BillingPeriodStart": _midnight(month),
            "BillingPeriodStatus": "Closed" if all(each.status == "Closed" for each in own) else "Open",
            "InvoiceIssuerName": issuer,
        }
        for issuer, own in sorted(found.items())
    ]
    missing = [f"{issuer}: no billing period is recorded" for issuer in sorted(set(issuers) - found.keys())]
    return Dataset(BILLING_PERIOD, PERIOD_FIELDS, rows, missing)


def invoice_details(invoices: Iterable[Invoice], month: date, issuers: Iterable[str]) -> Dataset:
    """Return a row for each line of the month's invoices."""
    own = [invoice for invoice in invoices if invoice.key.month == month]
    rows = [
        {
            "BilledCost": line.amount,
            "BillingAccountId": invoice.key.account,
            "BillingCurrency": invoice.currency,
            "BillingPeriodEnd": _midnight(following_month(month)),
            "BillingPeriodStart": _midnight(month),
            "ChargeCategory": line.category,
            "InvoiceDetailCreated": invoice.created_at,
            "InvoiceDetailDescription": line.description,
            "InvoiceDetailGrain": _json(line.grain),
            "InvoiceDetailId": line.line_id,
            "InvoiceDetailLastUpdated": invoice.updated_at,
            "InvoiceId": invoice.invoice_id,
            "InvoiceIssueDate": _midnight(invoice.issued_on),
            "InvoiceIssueStatus": invoice.status,
            "InvoiceIssuerName": invoice.key.issuer,
            "PaymentDueDate": _midnight(invoice.due_on),
            "PaymentTerms": invoice.payment_terms,
            "ReferenceInvoiceId": invoice.reference_id or invoice.invoice_id,
        }
        for invoice in own
        for line in invoice.lines
    ]
    invoiced = {invoice.key.issuer for invoice in own}
    missing = [f"{issuer}: no invoice is recorded" for issuer in sorted(set(issuers) - invoiced)]
    return Dataset(INVOICE_DETAIL, INVOICE_FIELDS, rows, missing)


def contract_commitments(rows: Sequence[Row], version: Version) -> Dataset:
    """Return the commitments of a period; in 1.4 those whose terms are all known, and of each other one what lacks."""
    if not rows:
        return Dataset(CONTRACT_COMMITMENT, COMMITMENT_FIELDS, (), [_NO_COMMITMENT])
    if version == "1.3":
        return Dataset(CONTRACT_COMMITMENT, COMMITMENT_FIELDS, rows)
    whole, missing = [], []
    for row in ({**each, **_terms(each)} for each in rows):
        lacking = [field.name for field in _NEWER_FIELDS if field.needed and not row.get(field.name)]
        if lacking:
            missing.append(f"{row['ContractCommitmentId']}: 1.4 also asks for {', '.join(lacking)} (focus_terms)")
        else:
            whole.append(row)
    return Dataset(CONTRACT_COMMITMENT, _NEWER_FIELDS, whole, missing)


def _terms(row: Row) -> Row:
    """Return the terms with the types of their columns."""
    terms = orjson.loads(row.get(TERMS) or "{}")
    times = {each.name for each in TERM_FIELDS if each.kind == "TIMESTAMP"}
    return {name: datetime.fromisoformat(text) if name in times else text for name, text in terms.items()}


def _json(grain: Any) -> str | None:
    return orjson.dumps(grain, option=orjson.OPT_SORT_KEYS).decode() if grain else None


def _midnight(day: date | None) -> datetime | None:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) if day is not None else None
