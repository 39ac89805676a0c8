"""Old rows of the embedded warehouse: counted, removed a few at a time, and no younger one with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse import expired
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.config.files.schemas.folder import TableSchemas
from convergence.engine.retention.sweep import sweep_due
from convergence.engine.retention.vacuum import survey
from convergence.ports.warehouse import SHARED_DATASET, ExpiredRows, RowRemover, TableSchema
from tests.unit.processors.step_world import ManualClock

SCHEMAS = TableSchemas(Path("configs"))
NOW = datetime.fromisoformat("2026-11-29T12:00:00+00:00")
AUDIT = ExpiredRows("org_audit_logs", "x_pipeline_run_date", date(2025, 10, 25))
ASIDE = ExpiredRows("org_meta_quarantine_rows", "x_ingestion_date", date(2026, 8, 31))


async def put(warehouse: Any, dataset: str, name: str, days: list[date], **row: Any) -> None:
    """Append one row for each day that it was written on."""
    await put_into(warehouse, dataset, SCHEMAS.get(name), days, **row)


async def put_into(warehouse: Any, dataset: str, table: TableSchema, days: list[date], **row: Any) -> None:
    """Append one row for each day to a table."""
    name = table.name
    await warehouse.ensure_table(dataset, table)
    lineage = {"x_org_slug": "acme", "x_pipeline_id": "", "x_credential_id": "", "x_run_id": "", "x_ingested_at": NOW}
    rows = [{**row, **lineage, "x_pipeline_run_date": day, "x_ingestion_date": day} for day in days]
    await warehouse.append(dataset, table, rows, ids=[f"{name}{number}" for number in range(len(rows))])


async def put_all(warehouse: Any, log: date, aside: date) -> None:
    """Write rows of the day before a limit, of the limit, and of today; more than one transaction removes."""
    day = timedelta(days=1)
    event = {"event_id": "e", "event_time": NOW}
    await put(warehouse, SHARED_DATASET, "org_audit_logs", [log - day] * 3 + [log, NOW.date()], **event)
    row = {"table_name": "t", "step_id": "s", "reason": "r", "row_digest": "d", "row_json": "{}"}
    for org in ("acme_dev", "globex_dev"):
        await put(warehouse, org, "org_meta_quarantine_rows", [aside - day, aside - 2 * day, aside], **row)


def run(scenario: Callable[[DuckDbWarehouse], Awaitable[None]]) -> None:
    async def whole() -> None:
        warehouse = DuckDbWarehouse(None, clock=ManualClock())
        try:
            await scenario(warehouse)
        finally:
            warehouse.close()

    asyncio.run(whole())


def test_rows_before_the_first_kept_day_go_in_every_dataset_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expired, "ROWS_MAX", 2)

    async def scenario(warehouse: DuckDbWarehouse) -> None:
        await put_all(warehouse, AUDIT.first, ASIDE.first)
        assert await warehouse.count_expired([AUDIT, ASIDE]) == 3 + 2 * 2
        assert await warehouse.remove_expired([AUDIT, ASIDE], wake=False) == 7
        assert await warehouse.count_expired([AUDIT, ASIDE]) == 0
        everything = [each._replace(first=date(2100, 1, 1)) for each in (AUDIT, ASIDE)]
        assert await warehouse.count_expired(everything) == 2 + 2

    run(scenario)


def test_one_transaction_removes_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expired, "ROWS_MAX", 2)

    async def scenario(warehouse: DuckDbWarehouse) -> None:
        await put_all(warehouse, AUDIT.first, ASIDE.first)
        removed = [await warehouse.session.write(lambda job: expired.remove_some(job, [AUDIT, ASIDE])) for _ in "12345"]
        assert removed == [2, 1, 2, 2, 0]

    run(scenario)


def test_a_warehouse_that_is_not_in_use_is_not_opened_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "warehouse.duckdb"
        unused = DuckDbWarehouse(file, clock=ManualClock())
        assert isinstance(unused, RowRemover)
        assert (await unused.count_expired([AUDIT]), await unused.remove_expired([AUDIT], wake=True)) == (0, 0)
        assert not file.exists(), "counting makes no file"
        await put_all(unused, AUDIT.first, ASIDE.first)
        unused.close()
        again = DuckDbWarehouse(file, clock=ManualClock())
        assert await again.remove_expired([AUDIT], wake=False) == 0
        assert not again.session.is_open
        assert await again.remove_expired([AUDIT], wake=True) == 3
        again.close()

    asyncio.run(scenario())


def test_the_sweep_removes_them_by_the_days_of_the_file_and_a_survey_counts_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path, configs_dir=Path("configs")), "test") as opened:
            services = opened.services
            today = services.clock.now().date()
            await put_all(services.warehouse, today - timedelta(days=400), today - timedelta(days=90))
            assert (await survey(services)).rows == 7
            await sweep_due(services)
            assert (await survey(services)).rows == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("log", ["org_meta_step_logs", "org_meta_pipeline_runs"])
def test_rows_that_runs_have_written_to_logs_are_kept_as_long_as_the_log(tmp_path: Path, log: str) -> None:
    async def scenario() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path, configs_dir=Path("configs")), "test") as opened:
            services, written = opened.services, SCHEMAS.get(log).written
            assert written is not None
            last = services.clock.now().date() - timedelta(days=400)
            await put_into(services.warehouse, "acme_dev", written, [last - timedelta(days=1), last])
            assert (await survey(services)).rows == 1
            await sweep_due(services)
            assert (await survey(services)).rows == 0

    asyncio.run(scenario())
