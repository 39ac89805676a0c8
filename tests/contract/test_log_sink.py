"""The operational log in the warehouse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.log_sink import LogSink
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.errors import Denied
from convergence.ports.warehouse import Column, Lineage, Scope, Statement, TableSchema
from tests.contract.log_events import CONFIGS, SteppedClock, an_event

Body = Callable[[LogSink, DuckDbWarehouse, SteppedClock], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    schemas = TableSchemas(CONFIGS)

    async def main(body: Body, fold_bytes: int) -> None:
        clock = SteppedClock()
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=clock)
        sink = LogSink(
            warehouse,
            runs=schemas.get("org_meta_pipeline_runs"),
            steps=schemas.get("org_meta_step_logs"),
            audit=schemas.get("org_audit_logs"),
            dataset_of=lambda org: f"{org}_prod",
            clock=clock,
            fold_bytes=fold_bytes,
            interval_s=0.001,
        )
        try:
            await body(sink, warehouse, clock)
        finally:
            await sink.close()
            warehouse.close()

    return lambda body, fold_bytes=1_000_000: asyncio.run(main(body, fold_bytes))


async def steps(warehouse: DuckDbWarehouse, org: str) -> list[dict[str, Any]]:
    sql = "SELECT run_id, step_id, status, rows_written, attempt, x_org_slug FROM org_meta_step_logs ORDER BY event_id"
    return (await warehouse.query(Statement(sql, scope=Scope(dataset=f"{org}_prod")))).rows


def test_events_become_rows_of_their_table_and_absent_keys_are_null(run: Callable[..., None]) -> None:
    async def body(sink: LogSink, warehouse: DuckDbWarehouse, clock: SteppedClock) -> None:
        sink.accept([an_event()])
        sink.accept([an_event(2, kind="run", status="failed", error="no such table")])
        await sink.flush()
        [step] = await steps(warehouse, "acme")
        assert (step["run_id"], step["step_id"], step["rows_written"], step["attempt"]) == ("r1", "extract", 5, None)
        found = await warehouse.query(
            Statement("SELECT status, error FROM org_meta_pipeline_runs", scope=Scope(dataset="acme_prod"))
        )
        assert found.rows == [{"status": "failed", "error": "no such table"}]

    run(body)


def test_an_org_sees_its_own_rows_once(run: Callable[..., None]) -> None:
    async def body(sink: LogSink, warehouse: DuckDbWarehouse, clock: SteppedClock) -> None:
        for number, org in ((1, "acme"), (1, "acme"), (2, "beta"), (3, "acme")):
            sink.accept([an_event(number, org=org)])
        await sink.flush()
        sink.accept([an_event(3)])
        await sink.flush()
        assert [row["x_org_slug"] for row in await steps(warehouse, "acme")] == ["acme", "acme"]
        assert [row["x_org_slug"] for row in await steps(warehouse, "beta")] == ["beta"]
        with pytest.raises(Denied):
            await warehouse.query(
                Statement("SELECT * FROM organizations.org_meta_step_logs", scope=Scope(dataset="acme_prod"))
            )

    run(body)


def test_an_org_sees_what_its_runs_wrote_beside_the_events(run: Callable[..., None]) -> None:
    async def body(sink: LogSink, warehouse: DuckDbWarehouse, clock: SteppedClock) -> None:
        for number, org in ((1, "acme"), (2, "beta")):
            sink.accept([an_event(number, org=org)])
        await sink.flush()
        sql = "INSERT INTO organizations.org_meta_step_logs (run_id, step_id, status) VALUES ('own', 'note', 'started')"
        lineage = Lineage(org_slug="acme", pipeline_id="p", credential_id="", run_id="r2", ingested_at=clock.now())
        scope = Scope(dataset="acme_prod", writable=True, lineage=lineage)
        for number in (1, 2):
            await warehouse.query(Statement(sql, scope=scope, job_id=f"j{number}"))
        assert [row["run_id"] for row in await steps(warehouse, "acme")] == ["own", "own", "r1"]
        assert [row["run_id"] for row in await steps(warehouse, "beta")] == ["r1"]
        sink.accept([an_event(3)])
        await sink.flush()
        assert len(await steps(warehouse, "acme")) == 4

    run(body)


def test_events_are_folded_when_the_file_is_large_enough(run: Callable[..., None]) -> None:
    async def body(sink: LogSink, warehouse: DuckDbWarehouse, clock: SteppedClock) -> None:
        sink.accept([an_event(1), an_event(2)])
        sink.write_due()
        assert sink.folding is not None
        await sink.folding
        assert len(await steps(warehouse, "acme")) == 2

    run(body, fold_bytes=1)


def test_a_value_of_another_type_does_not_spoil_the_batch(run: Callable[..., None]) -> None:
    async def body(sink: LogSink, warehouse: DuckDbWarehouse, clock: SteppedClock) -> None:
        sink.accept([an_event(1, rows_written="many")])
        sink.accept([an_event(2, rows_written=7)])
        await sink.flush()
        assert [row["rows_written"] for row in await steps(warehouse, "acme")] == [None, 7]

    run(body)


def test_a_table_with_the_name_of_a_log_costs_the_org_its_view_and_nothing_else(
    run: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def body(sink: LogSink, warehouse: DuckDbWarehouse, clock: SteppedClock) -> None:
        own = TableSchema("org_meta_step_logs", (Column("x", "INT64"),), partition_by=None)
        await warehouse.ensure_table("acme_prod", own)
        sink.accept([an_event(number) for number in range(1, 9)])
        await sink.flush()
        sink.accept([an_event(9)])
        await sink.flush()
        everything = Scope(dataset="organizations")
        counted = await warehouse.query(Statement("SELECT COUNT(*) AS n FROM org_meta_step_logs", scope=everything))
        assert counted.rows == [{"n": 9}]  # each event once: nothing was folded by halves
        assert not (warehouse.session.logs / "events.unreadable.ndjson").exists()
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "acme cannot read its logs" in caplog.text

    run(body)


@pytest.mark.parametrize("name", ["org_meta_pipeline_runs", "org_meta_step_logs", "org_audit_logs"])
@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
def test_no_statement_takes_the_name_of_a_log_before_its_first_row(
    run: Callable[..., None], name: str, kind: str
) -> None:
    async def body(sink: LogSink, warehouse: DuckDbWarehouse, clock: SteppedClock) -> None:
        await warehouse.ensure_dataset("acme_prod")
        scope = Scope(dataset="acme_prod", writable=True)
        with pytest.raises(Denied, match="is the name of a log"):
            await warehouse.query(Statement(f"CREATE {kind} {name} AS SELECT 1 AS x", scope=scope))

    run(body)
