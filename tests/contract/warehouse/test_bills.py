"""The bill of a cloud, SaaS subscriptions, commitments: the same charges on DuckDB and on BigQuery."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.local.bus import LocalBus
from convergence.bootstrap.embedded import EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.ports.warehouse import Scope, Statement
from convergence.sandbox import Sandbox, billing_export, google
from convergence.tenants.orgs import Org
from convergence.worker import LocalWorker

CONFIGS: Final = Path(__file__).parents[3] / "configs"
DAYS: Final = {"start_date": "2026-10-31", "end_date": "2026-11-01"}
# One seat: the stand-in divides BIGNUMERICs to nine places, BigQuery to 38.
PLANS: Final = "subscription_id,vendor,plan,seats,unit_price,currency,starts_on\na,A,P,1,69.93,USD,2026-10-05\n"
COMMITMENTS: Final = (
    "commitment_id,provider,units,unit_price,currency,billing_cycle,starts_on,ends_on,list_unit_price\n"
    "m,bedrock,1,2,USD,hourly,2026-10-01,2026-12-31,3\n"
)
RATES: Final = "Date,USD,\n2026-10-02,1.1612,\n"
LEFT_OUT: Final = "x_run_id, x_ingested_at, x_ingestion_date"


async def charges(folder: Path, address: str | None) -> list[dict[str, Any]]:
    """Run the pipelines, some of them twice, on DuckDB or on BigQuery; return the charges."""
    sandbox = Sandbox(faults=False)
    url = await sandbox.start()
    asks = {"resource_export_table": billing_export.TABLE, "bigquery_url": f"{url}/bigquery/v2"}
    runs: list[tuple[str, dict[str, Any]]] = [
        ("gcp/auth/setup", {"api_key": google.service_account(url)}),
        *[("cloud/gcp/cost/billing", {**asks, **DAYS})] * 2,
        ("subscription/plans/edit", {"action": "import", "plans_csv": PLANS}),
        ("subscription/rates/ecb", {"rates_csv": RATES}),
        *[("subscription/costs/subscription_cost", {"currency": "EUR", **DAYS})] * 2,
        ("genai/commitment/edit", {"action": "import", "commitments_csv": COMMITMENTS}),
        *[("genai/commitment/commitment_cost", DAYS)] * 2,
        ("genai/infrastructure/infrastructure_cost", DAYS),  # these charges have no GPUs: the statements run
    ]
    try:
        async with embedded(EmbeddedOptions(data_dir=folder, configs_dir=CONFIGS), "test") as opened:
            clock, ids, bus = opened.services.clock, opened.services.ids, LocalBus()
            services = replace(opened.services, bus=bus)
            if address is not None:
                warehouse = BigQueryWarehouse(
                    project="local-dev-project", location="US", clock=clock, ids=ids, endpoint=address
                )
                services = replace(services, warehouse=warehouse)
            worker = LocalWorker(services, bus)
            limits = Limits(daily=99, monthly=99, concurrent=9)
            org = Org(slug="bills", name="B", status="ACTIVE", limits=limits, created_at=clock.now())
            await services.orgs.create(org)
            for pipeline, parameters in runs:
                request = RunRequest(org="bills", pipeline=pipeline, parameters=parameters)
                run = await worker.wait("bills", (await dispatch(services, request)).run_id)
                assert (pipeline, run.status, run.error) == (pipeline, "completed", None)
            sql = f"SELECT * EXCEPT ({LEFT_OUT}) FROM cost_data_standard_1_3 ORDER BY x_ChargeId"
            found = (await services.warehouse.query(Statement(sql, scope=Scope(dataset="bills_dev")))).rows
            await worker.close()
            return [{name: _plain(value) for name, value in row.items()} for row in found]
    finally:
        await sandbox.stop()


def _plain(value: Any) -> Any:
    """The stand-in multiplies BIGNUMERICs as floats: twelve places are equal."""
    return round(value, 12).normalize() if isinstance(value, Decimal) else value


@pytest.mark.emulator
def test_bills_leave_the_same_charges_in_both_warehouses(tmp_path: Path, bigquery: str) -> None:
    ours = asyncio.run(charges(tmp_path / "duckdb", None))
    theirs = asyncio.run(charges(tmp_path / "bigquery", bigquery))
    assert {row["x_Provider"] for row in ours} == {"gcp", "saas", "commitment"}
    assert len({row["x_ChargeId"] for row in ours}) == len(ours) > 20
    differences = [
        (mine["x_ChargeId"], name, value, other[name])
        for mine, other in zip(ours, theirs, strict=True)
        for name, value in mine.items()
        if value != other[name]
    ]
    assert differences == []
