"""Billing periods and invoices of orgs as documents, one for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from convergence.domain.billing_periods import BillingPeriod, Change, PeriodKey, digest
from convergence.domain.invoices import Invoice
from convergence.errors import Conflict, NotFound
from convergence.ports.documents import Create, Documents, Replace

INVOICES_MAX: Final = 200  # that are recorded in one call
_ATTEMPTS: Final = 5
_PAGE: Final = 500


class BillingStore:
    """The periods and invoices of orgs."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def periods(self, org: str) -> list[BillingPeriod]:
        """Return all periods, by month, issuer and account."""
        found = [BillingPeriod.from_data(data) async for data in self._all(f"orgs/{org}/billing_periods")]
        return sorted(found, key=lambda period: period.key)

    async def move(self, org: str, key: PeriodKey, change: Change) -> BillingPeriod:
        """Change the status of a period; one that is not recorded yet is recorded with it.

        Raises:
            InvalidInput: it would be reopened without a reason.
            Conflict: other writers keep committing first.
        """
        path = f"orgs/{org}/billing_periods/{key.id}"
        for _ in range(_ATTEMPTS):
            known = await self._documents.get(path)
            if known is None:
                period = BillingPeriod.new(key, change)
                write: Create | Replace = Create(path, period.to_data())
            else:
                before = BillingPeriod.from_data(known.data)
                period = before.moved(change)
                if period == before:
                    return period
                write = Replace(path, known.version, period.to_data())
            try:
                await self._documents.commit([write])
            except Conflict:
                continue
            return period
        raise Conflict(f"the billing period {key} is being changed by others; try again")

    async def invoices(self, org: str) -> list[Invoice]:
        """Return all invoices, by period and id."""
        found = [Invoice.from_data(data) async for data in self._all(f"orgs/{org}/invoices")]
        return sorted(found, key=lambda invoice: (invoice.key, invoice.invoice_id))

    async def add(self, org: str, invoices: Sequence[Invoice]) -> None:
        """Record invoices, all or none. Raises `Conflict` for one that is recorded already."""
        paths = [_invoice_path(org, invoice.key.issuer, invoice.invoice_id) for invoice in invoices]
        twice = next((place for place, path in enumerate(paths) if path in paths[:place]), None)
        if twice is not None:
            raise Conflict(f"the invoice {invoices[twice].invoice_id} of {invoices[twice].key} appears twice")
        known = await self._documents.get_many(paths)
        for invoice, document in zip(invoices, known, strict=True):
            if document is not None:
                raise _recorded(invoice)
        try:
            writes = [Create(path, invoice.to_data()) for path, invoice in zip(paths, invoices, strict=True)]
            await self._documents.commit(writes)
        except Conflict as error:
            raise _recorded(invoices[0]) from error

    async def void(self, org: str, issuer: str, invoice_id: str, at: datetime) -> Invoice:
        """Void an invoice, so that it no longer counts. Raises `NotFound`."""
        path = _invoice_path(org, issuer, invoice_id)
        for _ in range(_ATTEMPTS):
            known = await self._documents.get(path)
            if known is None:
                raise NotFound(f"there is no invoice {invoice_id[:100]!r} of {issuer[:100]!r}")
            invoice = Invoice.from_data(known.data)
            if invoice.status == "Voided":
                return invoice
            invoice = replace(invoice, status="Voided", updated_at=at)
            try:
                await self._documents.commit([Replace(path, known.version, invoice.to_data())])
            except Conflict:
                continue
            return invoice
        raise Conflict(f"the invoice {invoice_id[:100]!r} is being changed by others; try again")

    async def _all(self, collection: str) -> AsyncIterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = await self._documents.query(collection, limit=_PAGE, cursor=cursor)
            for document in page.documents:
                yield document.data
            if page.cursor is None:
                return
            cursor = page.cursor


def _invoice_path(org: str, issuer: str, invoice_id: str) -> str:
    return f"orgs/{org}/invoices/{digest(issuer, invoice_id)}"


def _recorded(invoice: Invoice) -> Conflict:
    return Conflict(
        f"the invoice {invoice.invoice_id} of {invoice.key} is recorded already, so nothing was stored: an issuer gives"
        " an id once; void the invoice if it no longer counts"
    )
