"""Charges in the warehouse of an API's org."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from convergence.engine.daily_costs import FOCUS
from convergence.engine.services import dataset_of
from convergence.ports.warehouse import Lineage, Load
from tests.unit.entry.ui.conftest import Api

RANGE = "from=2026-11-01&to=2026-11-03"


async def charge(api: Api, rows: list[dict[str, Any]], *, run: str = "run_1", days: Sequence[int] = (1, 2, 3)) -> None:
    """Write charges as a pipeline would: those of `days` of November 2026 are replaced by `rows`, day after day."""
    services = api.at.services
    dataset, table = dataset_of(services, "acme"), services.schemas.get(FOCUS)
    await services.warehouse.ensure_dataset(dataset)
    await services.warehouse.ensure_table(dataset, table)
    at = services.clock.now()
    fixed = {
        "BillingAccountId": "a", "BillingPeriodStart": datetime(2026, 11, 1, tzinfo=UTC),
        "BillingPeriodEnd": datetime(2026, 12, 1, tzinfo=UTC),
        "ChargeCategory": "Usage", "ContractedCost": Decimal(0), "EffectiveCost": Decimal(0), "ListCost": Decimal(0),
        "InvoiceIssuerName": "p", "ProviderName": "p", "PublisherName": "p", "ServiceCategory": "AI",
        "ServiceName": "API", "ServiceProviderName": "OpenAI", "BillingCurrency": "USD",
    }  # fmt: skip
    full = [
        fixed
        | {
            "ChargePeriodStart": datetime(2026, 11, days[n % len(days)], tzinfo=UTC),
            "ChargePeriodEnd": datetime(2026, 11, days[n % len(days)] + 1, tzinfo=UTC),
        }
        | {"x_ChargeId": f"charge_{n:03}", **row}
        for n, row in enumerate(rows)
    ]
    lineage = Lineage(org_slug="acme", pipeline_id="p", credential_id="", run_id=run, ingested_at=at)
    stage = services.warehouse.stage(dataset, table, f"stage_{run}")
    await stage.write(0, full)
    load = Load(
        job_id=f"job_{run}",
        dataset=dataset,
        table=table,
        lineage=lineage,
        dates=tuple(date(2026, 11, day) for day in days),
        date_field="ChargePeriodStart",
    )
    await services.warehouse.load(load, stage)
