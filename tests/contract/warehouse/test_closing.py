"""Jobs that are closed: what took effect is reported, what did not never will."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.local.clock import RandomIds
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import AppliedBefore, LeaseLost
from convergence.ports.warehouse import (
    Effect,
    JobSettings,
    Parameter,
    ProcedureCall,
    Routine,
    Scope,
    Statement,
    TableSchema,
    Warehouse,
    WriteMode,
)
from tests.contract.warehouse.world import NOW, Body, StoppedClock, a_lineage, load, rows_of

OWNER = Scope(dataset="acme_prod", writable=True, lineage=a_lineage())
INSERT = "INSERT INTO usage (id, x_pipeline_run_date) VALUES (7, DATE '2026-01-01')"
PROCEDURE = Routine(
    "sp_add",
    "1",
    "sp_add.sql",
    "CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_add(p_id INT64)\nBEGIN\n"
    "  INSERT INTO usage (id, x_pipeline_run_date) VALUES (p_id, DATE '2026-01-01');\n"
    "  SELECT p_id AS added;\nEND;\n",
)
Send = Callable[[Warehouse, TableSchema, str, str], Awaitable[Any]]


async def send_append(warehouse: Warehouse, table: TableSchema, job_id: str, fingerprint: str) -> Any:
    return await load(warehouse, table, [{"id": 7}], job_id=job_id, mode=WriteMode.APPEND, fingerprint=fingerprint)


async def send_overwrite(warehouse: Warehouse, table: TableSchema, job_id: str, fingerprint: str) -> Any:
    return await load(warehouse, table, [{"id": 7}], job_id=job_id, fingerprint=fingerprint)


async def send_dml(warehouse: Warehouse, _: TableSchema, job_id: str, fingerprint: str) -> Any:
    return await warehouse.query(Statement(INSERT, scope=OWNER, job_id=job_id, fingerprint=fingerprint))


async def send_call(warehouse: Warehouse, _: TableSchema, job_id: str, fingerprint: str) -> Any:
    await warehouse.sync_routines([PROCEDURE])
    arguments = {"p_id": Parameter("INT64", 7)}
    return await warehouse.call(ProcedureCall("sp_add", arguments, scope=OWNER, job_id=job_id, fingerprint=fingerprint))


WRITES = pytest.mark.parametrize("send", [send_append, send_overwrite, send_dml, send_call])


async def count(warehouse: Warehouse) -> int:
    [(found,)] = await rows_of(warehouse, "SELECT COUNT(*) FROM usage")
    return int(found)


@WRITES
def test_a_job_that_was_never_sent_is_revoked_for_ever(
    send: Send, run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        for _ in range(2):
            assert await warehouse.close_job("j1", scope=OWNER) is None
        for _ in range(2):
            with pytest.raises(LeaseLost, match="j1 was revoked"):
                await send(warehouse, usage, "j1", "a-b")
        assert await warehouse.close_job("j1", scope=OWNER) is None
        assert await count(warehouse) == 0
        await send(warehouse, usage, "j2", "a-b")
        assert await count(warehouse) == 1

    run(body)


@WRITES
def test_a_job_that_took_effect_tells_what_it_was_made_of_and_answers_again(
    send: Send, run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        first = await send(warehouse, usage, "j1", "a-b")
        for _ in range(2):
            effect = await warehouse.close_job("j1", scope=OWNER)
            assert effect is not None
            assert effect.fingerprint == "a-b"
            assert effect.rows in {1, None if send is send_call else 1}
            assert effect.at.tzinfo is not None
        again = await send(warehouse, usage, "j1", "a-b")
        for name in ("rows_loaded", "rows_removed", "rows_affected", "rows", "columns", "tables"):
            assert getattr(again, name, None) == getattr(first, name, None), name
        assert await count(warehouse) == 1

    run(body)


@WRITES
def test_a_known_job_with_another_fingerprint_is_refused(
    send: Send, run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        await send(warehouse, usage, "j1", "a-b")
        with pytest.raises(AppliedBefore, match="j1 took effect"):
            await send(warehouse, usage, "j1", "c-b")
        assert await count(warehouse) == 1

    run(body)


def test_a_job_that_failed_is_revoked_too(run: Callable[[Body], None], usage: TableSchema) -> None:
    wrong = "INSERT INTO usage (id, x_pipeline_run_date) SELECT CAST(ERROR('no') AS INT64), DATE '2026-01-01'"

    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        with pytest.raises(Exception, match="no"):
            await warehouse.query(Statement(wrong, scope=OWNER, job_id="j1", fingerprint="a-b"))
        assert await warehouse.close_job("j1", scope=OWNER) is None
        with pytest.raises(LeaseLost):
            await warehouse.query(Statement(INSERT, scope=OWNER, job_id="j1", fingerprint="a-b"))
        assert await count(warehouse) == 0

    run(body)


def test_a_write_and_its_closing_at_the_same_time_agree(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        for number in range(6):
            job_id = f"j{number}"
            before = await count(warehouse)
            sent = warehouse.query(Statement(INSERT, scope=OWNER, job_id=job_id, fingerprint="a-b"))
            answer, effect = await asyncio.gather(
                sent, warehouse.close_job(job_id, scope=OWNER), return_exceptions=True
            )
            wrote = await count(warehouse) - before
            assert isinstance(effect, Effect) == (wrote == 1), (answer, effect)
            assert isinstance(answer, LeaseLost) == (wrote == 0), (answer, effect)

    run(body)


def test_the_ledger_tells_when_it_was(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await send_append(warehouse, usage, "j1", "a-b")
        assert await warehouse.close_job("j1", scope=OWNER) == Effect("a-b", NOW, 1)

    run(body)


@pytest.mark.emulator
@pytest.mark.parametrize("send", [send_append, send_dml, send_call])
def test_bigquery_knows_a_write_whose_job_is_forgotten(send: Send, bigquery: str, usage: TableSchema) -> None:
    """Looked for in another project, a job is not there, as after six months; the ledger has it."""
    ids = RandomIds()
    home, elsewhere = (ids.new("demo").replace("_", "-") for _ in range(2))

    async def moved(_: str) -> JobSettings:
        return JobSettings(project=elsewhere)

    async def main() -> None:
        common: dict[str, Any] = {"project": home, "location": "US", "clock": StoppedClock(), "ids": ids}
        first = BigQueryWarehouse(**common, endpoint=bigquery)
        later = BigQueryWarehouse(**common, endpoint=bigquery, settings=moved)
        try:
            await first.ensure_table("acme_prod", usage)
            answer = await send(first, usage, "j1", "a-b")
            assert await later.close_job("j1", scope=OWNER) == Effect("a-b", NOW, None if send is send_call else 1)
            again = await send(later, usage, "j1", "a-b")
            for name in ("rows_loaded", "rows_removed", "tables"):
                assert getattr(again, name, None) == getattr(answer, name, None), name
            with pytest.raises(AppliedBefore):
                await send(later, usage, "j1", "c-b")
            assert await later.close_job("j2", scope=OWNER) is None
            with pytest.raises(LeaseLost):
                await send(later, usage, "j2", "a-b")
            assert await count(first) == 1
        finally:
            first.close()
            later.close()

    asyncio.run(main())


def test_a_file_of_an_older_version_keeps_its_ledger(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as older:
        older.execute("CREATE SCHEMA _convergence")
        older.execute(
            "CREATE TABLE _convergence.jobs"
            " (job_id VARCHAR PRIMARY KEY, result JSON NOT NULL, finished_at TIMESTAMPTZ NOT NULL)"
        )
        older.execute(
            "INSERT INTO _convergence.jobs VALUES ('j1', '{\"rows_loaded\": 3, \"rows_removed\": 0}', $1)", [NOW]
        )

    async def main() -> None:
        warehouse = DuckDbWarehouse(tmp_path / "warehouse.duckdb", clock=StoppedClock())
        try:
            assert await warehouse.close_job("j1", scope=OWNER) == Effect("", NOW, 3)
            assert await warehouse.close_job("j2", scope=OWNER) is None
        finally:
            warehouse.close()

    asyncio.run(main())
