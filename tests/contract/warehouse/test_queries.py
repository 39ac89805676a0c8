"""Statements: looked at, run once, bounded, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import (
    Statement,
    TableSchema,
    Warehouse,
)
from tests.contract.warehouse.world import READ, WRITE, Body, load, rows_of


def test_a_wrong_name_gets_the_nearest(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        with pytest.raises(StepFailed, match=r"acme_prod\.usge.*'usage'"):
            await rows_of(warehouse, "SELECT * FROM usge")
        with pytest.raises(StepFailed, match=r"cst.*'cost'"):
            await rows_of(warehouse, "SELECT cst FROM usage")
        with pytest.raises(StepFailed, match=r"COUNTIFF.*'COUNTIF'"):
            await rows_of(warehouse, "SELECT COUNTIFF(TRUE) FROM usage")

    run(body)


def test_a_dry_run_runs_nothing_and_says_tables_and_bytes(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number} for number in range(100)])
        result = await warehouse.query(Statement("DELETE FROM usage WHERE id > 3", scope=WRITE, dry_run=True))
        assert result.tables == ("acme_prod.usage",)
        assert result.bytes_processed is not None
        assert await rows_of(warehouse, "SELECT COUNT(*) FROM usage") == [(100,)]

    run(body)


def test_a_write_with_a_job_id_happens_once(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}])
        sql = "UPDATE usage SET id = id + 1 WHERE TRUE"
        first = await warehouse.query(Statement(sql, scope=WRITE, job_id="once"))
        again = await warehouse.query(Statement(sql, scope=WRITE, job_id="once"))
        assert (first.rows_affected, again.rows_affected) == (1, 1)
        assert await rows_of(warehouse, "SELECT id FROM usage") == [(2,)]

    run(body)


def test_rows_max_bounds_the_answer(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number} for number in range(10)])
        result = await warehouse.query(Statement("SELECT id FROM usage ORDER BY id", scope=READ, rows_max=3))
        assert [row["id"] for row in result.rows] == [0, 1, 2]

    run(body)


@pytest.mark.endless
def test_a_cancelled_statement_leaves_nothing_behind_and_the_next_one_runs(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number} for number in range(1000)])
        many = "(SELECT MAX(a.id + b.id + c.id + d.id) FROM usage a, usage b, usage c, usage d)"
        endless = f"UPDATE usage SET id = {many} WHERE TRUE"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(warehouse.query(Statement(endless, scope=WRITE)), 0.2)
        assert await rows_of(warehouse, "SELECT MAX(id) FROM usage") == [(999,)]

    run(body)
