"""Changes of periods and invoices, and of what is published as a result.

Invoices are checked against the charges of their period before they are recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from convergence.domain.billing_periods import BillingPeriod, Change, PeriodKey
from convergence.domain.invoices import Invoice
from convergence.engine.publication import publish_periods
from convergence.engine.services import Services, dataset_of
from convergence.errors import InvalidInput
from convergence.ports.warehouse import Parameter, Scope, Statement
from convergence.tenants.billing import INVOICES_MAX, BillingStore

CHARGES: Final = "cost_data_standard_1_3"
_CURRENCIES: Final = """
SELECT DISTINCT BillingCurrency FROM cost_data_standard_1_3
WHERE InvoiceIssuerName = @issuer AND BillingAccountId = @account
  AND DATE_TRUNC(DATE(BillingPeriodStart), MONTH) = @month
ORDER BY BillingCurrency
"""


async def record_invoices(services: Services, org: str, invoices: Sequence[Invoice]) -> None:
    """Record invoices of an org, all or none.

    Raises:
        InvalidInput: none or too many; or an invoice is not in the currency of the charges of its period, or of
            another invoice of it.
        Conflict: an invoice is recorded already.
    """
    if not 1 <= len(invoices) <= INVOICES_MAX:
        raise InvalidInput(f"1 to {INVOICES_MAX} invoices can be recorded at once, not {len(invoices)}")
    store = BillingStore(services.documents)
    known = {each.key: each.currency for each in await store.invoices(org) if each.status != "Voided"}
    for invoice in invoices:
        other = known.setdefault(invoice.key, invoice.currency)
        charged = await _currencies(services, org, invoice.key)
        if other != invoice.currency or (charged and invoice.currency not in charged):
            has = f"its charges are in {', '.join(charged)}" if charged else f"another invoice of it is in {other}"
            raise InvalidInput(
                f"the invoice {invoice.invoice_id} of {invoice.key} is in {invoice.currency}, but {has}; nothing was"
                " stored"
            )
    await store.add(org, invoices)
    await publish_periods(services, org, [invoice.key.month for invoice in invoices])


async def void_invoice(services: Services, org: str, issuer: str, invoice_id: str) -> Invoice:
    """Let an invoice count no more. Raises `NotFound`."""
    invoice = await BillingStore(services.documents).void(org, issuer, invoice_id, services.clock.now())
    await publish_periods(services, org, [invoice.key.month])
    return invoice


async def move_period(services: Services, org: str, key: PeriodKey, change: Change) -> BillingPeriod:
    """Open or close a period. A later failure does not undo the change: the same call again completes it.

    Raises what `BillingStore.move` raises.
    """
    period = await BillingStore(services.documents).move(org, key, change)
    await publish_periods(services, org, [key.month])
    return period


async def _currencies(services: Services, org: str, key: PeriodKey) -> list[str]:
    """Return the currencies that charges of a period have."""
    dataset = dataset_of(services, org)
    if not await services.warehouse.columns(dataset, CHARGES):
        return []
    values = {
        "issuer": Parameter("STRING", key.issuer),
        "account": Parameter("STRING", key.account),
        "month": Parameter("DATE", key.month),
    }
    found = await services.warehouse.query(Statement(_CURRENCIES, values, scope=Scope(dataset=dataset)))
    return [row["BillingCurrency"] for row in found.rows]
