"""Rows that were set aside expire with their partitions; other tables keep theirs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.config.files.retention import load_retention
from convergence.config.files.schemas.folder import TableSchemas
from convergence.engine.retention.rows import kept_by_partitions
from convergence.ports.warehouse import TableSchema
from tests.unit.adapters.bigquery_recorder import recording, with_warehouse

CONFIGS = Path(__file__).parents[3] / "configs"
ASIDE, COSTS = "org_meta_quarantine_rows", "openai_cost_daily"
DAY_MS = 86_400_000


async def ensure(warehouse: BigQueryWarehouse, table: TableSchema) -> None:
    await warehouse.ensure_table("acme_prod", table)


def written(address: str, table: str, days: int) -> None:
    retention = load_retention(CONFIGS)
    aside = retention.quarantined_rows.model_copy(update={"days": days})
    kept = partial(kept_by_partitions, lambda: retention.model_copy(update={"quarantined_rows": aside}))
    with_warehouse(address, partial(ensure, table=TableSchemas(CONFIGS).get(table)), kept=kept)


def partitions(resources: dict[str, Any], table: str) -> Any:
    return next(body for path, body in resources.items() if path.endswith(f"/{table}")).get("timePartitioning")


def test_partitions_of_rows_set_aside_expire_and_others_do_not() -> None:
    with recording() as (recorder, address):
        written(address, ASIDE, 90)
        written(address, COSTS, 90)
        aside = partitions(recorder.resources, ASIDE)
        assert (aside["field"], int(aside["expirationMs"])) == ("x_ingestion_date", 90 * DAY_MS)
        assert "expirationMs" not in partitions(recorder.resources, COSTS)


def test_rows_that_runs_have_written_to_logs_expire_as_the_log() -> None:
    retention, table = load_retention(CONFIGS), TableSchemas(CONFIGS).get("org_meta_step_logs").written
    assert table is not None
    with recording() as (recorder, address):
        with_warehouse(address, partial(ensure, table=table), kept=partial(kept_by_partitions, lambda: retention))
        found = partitions(recorder.resources, table.name)
        assert (found["field"], int(found["expirationMs"])) == ("x_pipeline_run_date", 400 * DAY_MS)


def test_a_change_of_the_days_holds_for_the_table_that_is_there() -> None:
    with recording() as (recorder, address):
        for days in (90, 90, 30):
            written(address, ASIDE, days)
        aside = partitions(recorder.resources, ASIDE)
        assert (aside["type"], aside["field"], int(aside["expirationMs"])) == ("DAY", "x_ingestion_date", 30 * DAY_MS)
        assert [method for method, _, _ in recorder.stored].count("PATCH") == 1


def test_a_table_of_an_earlier_release_has_no_partitions_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with recording() as (recorder, address):
        written(address, ASIDE, 90)
        del next(body for path, body in recorder.resources.items() if path.endswith(ASIDE))["timePartitioning"]
        written(address, ASIDE, 30)
        assert partitions(recorder.resources, ASIDE) is None
        assert "org_meta_quarantine_rows is partitioned by nothing" in caplog.text
