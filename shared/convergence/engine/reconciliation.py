"""An org's charges, its providers' own bills and its invoices, compared by period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from convergence.domain.reconciliation import Billed, Charged, Reconciled, Subject, reconcile
from convergence.engine.services import Services, dataset_of
from convergence.errors import InvalidInput
from convergence.ports.warehouse import Parameter, Row, Scope, Statement
from convergence.tenants.billing import BillingStore

ROWS_MAX: Final = 10_000
CHARGES: Final = "cost_data_standard_1_3"
TRACKING: Final = "org_cost_tracking"
# By start first, then by month: a function of each charge's time costs more than everything else. Corrections of these
# months may be billed in later ones.
_CHARGES: Final = """
SELECT
  DATE_TRUNC(DATE(start), MONTH) AS month, corrects, seats, provider, issuer, account, currency, credential, category,
  SUM(charges) AS charges, SUM(cost) AS cost
FROM (
  SELECT
    BillingPeriodStart AS start, x_CorrectedPeriodStart AS corrects,
    COALESCE(x_UsageKind, '') = 'subscription' AS seats, COALESCE(x_Provider, '') AS provider,
    InvoiceIssuerName AS issuer, BillingAccountId AS account, BillingCurrency AS currency,
    COALESCE(x_credential_id, '') AS credential, ChargeCategory AS category,
    COUNT(*) AS charges, SUM(BilledCost) AS cost
  FROM cost_data_standard_1_3
  WHERE (
      BillingPeriodStart >= TIMESTAMP(@first) AND BillingPeriodStart < TIMESTAMP(DATE_ADD(@last, INTERVAL 1 DAY))
      OR x_CorrectedPeriodStart BETWEEN @first AND @last
    )
    AND COALESCE(x_CostOrigin, '') <> 'residual'
  GROUP BY start, corrects, seats, provider, issuer, account, currency, credential, category
)
GROUP BY month, corrects, seats, provider, issuer, account, currency, credential, category
"""
_BILLS: Final = """
WITH latest AS (
  SELECT *
  FROM org_cost_tracking
  WHERE usage_date BETWEEN @first AND @last
  QUALIFY x_run_id = FIRST_VALUE(x_run_id) OVER (
    PARTITION BY provider, x_credential_id, usage_date ORDER BY checked_at DESC, x_run_id
  )
)
SELECT
  DATE_TRUNC(usage_date, MONTH) AS month, provider, COALESCE(x_credential_id, '') AS credential, currency, class,
  SUM(COALESCE(billed_cost, 0)) AS cost, SUM(difference) AS difference
FROM latest
GROUP BY month, provider, credential, currency, class
"""


async def reconciliation(services: Services, org: str, first: date, last: date) -> list[Reconciled]:
    """Return the result for each provider, account, month and currency; `first` and `last` are days of the months.

    Raises `InvalidInput` when there are more groups than `ROWS_MAX`.
    """
    dataset = dataset_of(services, org)
    charges = [
        Charged(
            subject=Subject(row["month"], row["provider"], row["issuer"], row["account"], row["currency"]),
            credential=row["credential"],
            category=row["category"],
            rows=row["charges"],
            cost=row["cost"],
            corrects=row["corrects"],
            seats=row["seats"],
        )
        for row in await read_all(services, dataset, CHARGES, _CHARGES, first, last)
    ]
    bills = [
        Billed(
            month=row["month"],
            provider=row["provider"],
            credential=row["credential"],
            currency=row["currency"],
            reason=row["class"],
            cost=row["cost"],
            difference=row["difference"],
        )
        for row in await read_all(services, dataset, TRACKING, _BILLS, first, last)
    ]
    invoices = await BillingStore(services.documents).invoices(org)
    found = reconcile(charges, bills, [each for each in invoices if first <= each.key.month <= last])
    return [each for each in found if first <= each.subject.month <= last]


async def read_all(services: Services, dataset: str, table: str, sql: str, first: date, last: date) -> Sequence[Row]:
    """Return the rows of a query of one table; none if the table does not exist yet.

    Raises `InvalidInput` when there are more rows than `ROWS_MAX`.
    """
    if not await services.warehouse.columns(dataset, table):
        return ()
    days = {"first": Parameter("DATE", first), "last": Parameter("DATE", last)}
    found = await services.warehouse.query(Statement(sql, days, scope=Scope(dataset=dataset), rows_max=ROWS_MAX))
    if len(found.rows) == ROWS_MAX:
        raise InvalidInput(f"the months have {ROWS_MAX:,} groups of charges or more: ask for fewer months")
    return found.rows
