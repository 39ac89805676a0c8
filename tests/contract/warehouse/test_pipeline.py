"""A shipped pipeline, with stored procedures, through the engine: the same rows on DuckDB and on BigQuery."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.local.bus import LocalBus
from convergence.bootstrap.embedded import EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.ports.warehouse import Scope, Statement
from convergence.tenants.orgs import Org
from convergence.worker import LocalWorker

CONFIGS = Path(__file__).parents[3] / "configs"
REQUEST = RunRequest(
    org="acme",
    pipeline="openai/subscriptions",
    parameters={"seats": "3", "starts_on": "2026-11-01", "start_date": "2026-11-10", "end_date": "2026-11-12"},
)


async def rows_after_the_run(folder: Path, address: str | None) -> list[dict[str, Any]]:
    """Run the pipeline twice, on DuckDB or on BigQuery; return the rows, without what differs from run to run."""
    async with embedded(EmbeddedOptions(data_dir=folder, configs_dir=CONFIGS), "test") as opened:
        clock, ids, bus = opened.services.clock, opened.services.ids, LocalBus()
        services = replace(opened.services, bus=bus)
        if address is not None:
            warehouse = BigQueryWarehouse(
                project="local-dev-project", location="US", clock=clock, ids=ids, endpoint=address
            )
            services = replace(services, warehouse=warehouse)
        worker = LocalWorker(services, bus)
        limits = Limits(daily=9, monthly=9, concurrent=9)
        await services.orgs.create(Org(slug="acme", name="A", status="ACTIVE", limits=limits, created_at=clock.now()))
        for _ in range(2):
            run = await worker.wait("acme", (await dispatch(services, REQUEST)).run_id)
            assert (run.status, run.error) == ("completed", None)
        sql = "SELECT * EXCEPT (x_run_id, x_ingested_at, x_ingestion_date) FROM subscription_cost_daily"
        found = await services.warehouse.query(Statement(f"{sql} ORDER BY usage_date", scope=Scope(dataset="acme_dev")))
        view = "SELECT month, plan, seats_max, days, cost FROM openai_subscriptions_monthly ORDER BY month"
        months = await services.warehouse.query(Statement(view, scope=Scope(dataset="acme_dev")))
        await worker.close()
        return [{name: _plain(value) for name, value in row.items()} for row in (*found.rows, *months.rows)]


def _plain(value: Any) -> Any:
    return value.normalize() if isinstance(value, Decimal) else value


@pytest.mark.emulator
def test_a_shipped_pipeline_leaves_the_same_rows_in_both_warehouses(tmp_path: Path, bigquery: str) -> None:
    ours = asyncio.run(rows_after_the_run(tmp_path / "duckdb", None))
    theirs = asyncio.run(rows_after_the_run(tmp_path / "bigquery", bigquery))
    assert len(ours) == 3 + 1  # days, and their month
    assert ours == theirs
