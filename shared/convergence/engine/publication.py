"""`cost_data_published` and `cost_data_withheld`: charges of closed and reconciled billing periods, and all others.

The decision about a closed period is a row of `org_billing_decisions`, which both views read. They compare its charges
with those of the decision as well, so charges that change after it are withheld, not shown unchecked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from convergence.config.files.publication import load_publication
from convergence.config.files.reports import load_views
from convergence.domain.publication import Decision, Part, Total, decide
from convergence.domain.times import following_month
from convergence.engine.reconciliation import CHARGES, read_all, reconciliation
from convergence.engine.services import Services, dataset_of
from convergence.ports.warehouse import Lineage, Load, Scope, Statement
from convergence.tenants.billing import BillingStore

DECISIONS: Final = "org_billing_decisions"
PIPELINE: Final = "billing-periods"  # whose rows the decisions are
_TOTALS: Final = """
SELECT
  DATE_TRUNC(DATE(BillingPeriodStart), MONTH) AS month, InvoiceIssuerName AS issuer, BillingAccountId AS account,
  BillingCurrency AS currency, COUNT(*) AS charges, SUM(BilledCost) AS cost
FROM cost_data_standard_1_3
WHERE DATE(BillingPeriodStart) BETWEEN @first AND @last
GROUP BY month, issuer, account, currency
"""


async def publish_periods(services: Services, org: str, months: Iterable[date]) -> list[Decision]:
    """Decide again on the periods of these months (their first days); return the decisions.

    Raises:
        InvalidInput: a month has too many groups of charges.
        ConfigErrors: the policy's file is wrong.
    """
    policy = load_publication(services.configs_dir)
    dataset = dataset_of(services, org)
    decisions: list[Decision] = []
    asked = sorted(set(months))
    for month in asked:
        last = following_month(month) - timedelta(days=1)
        # The charges first: those that change while the rest is read then have another number, and are withheld.
        rows = await read_all(services, dataset, CHARGES, _TOTALS, month, last)
        totals = {
            Part(row["month"], row["issuer"], row["account"], row["currency"]): Total(row["charges"], row["cost"])
            for row in rows
        }
        periods = await BillingStore(services.documents).periods(org)
        decisions += decide(periods, totals, await reconciliation(services, org, month, last), policy)
    await _store(services, org, dataset, asked, decisions)
    await _make_views(services, dataset)
    return decisions


async def _store(services: Services, org: str, dataset: str, months: list[date], decisions: list[Decision]) -> None:
    job_id, now = services.ids.new("decisions"), services.clock.now()
    schema = services.schemas.get(DECISIONS)
    await services.warehouse.ensure_table(dataset, schema)
    stage = services.warehouse.stage(dataset, schema, job_id)
    rows = [
        {
            **{name: getattr(each.part, name) for name in ("month", "issuer", "account", "currency")},
            "charges": each.total.charges,
            "cost": each.total.cost,
            "published": each.published,
            "reason": each.reason or None,
            "decided_at": now,
        }
        for each in decisions
    ]
    await stage.write(0, rows)
    lineage = Lineage(org_slug=org, pipeline_id=PIPELINE, credential_id="", run_id="", ingested_at=now)
    load = Load(job_id=job_id, dataset=dataset, table=schema, lineage=lineage, dates=tuple(months), date_field="month")
    await services.warehouse.load(load, stage)


async def _make_views(services: Services, dataset: str) -> None:
    """Make the views, unless there are no charges yet."""
    if not await services.warehouse.columns(dataset, CHARGES):
        return
    for name, view in load_views(services.configs_dir).items():
        scope = Scope(dataset=dataset, writable=True)
        await services.warehouse.query(Statement(view.view_named(name, dataset), scope=scope))
