"""The order of a large file's rows in the embedded warehouse: kept where rows with one key meet, else given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.ports.warehouse import FileFormat, RowFile, TableSchema, Warehouse, WriteMode
from tests.contract.warehouse.world import Body, StoppedClock, a_load, rows_of

ROWS, KEYS = 300_000, 1_000


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Body], None]:
    """Run a test's body against a fresh DuckDB."""

    async def main(body: Body) -> None:
        warehouse = DuckDbWarehouse(tmp_path / "warehouse.duckdb", clock=StoppedClock(), project="demo")
        try:
            await body(warehouse)
        finally:
            warehouse.close()

    return lambda body: asyncio.run(main(body))


@pytest.fixture
def file(tmp_path: Path) -> RowFile:
    """A Parquet file that two threads read: many groups, in which each key comes again."""
    path = tmp_path / "rows.parquet"
    rows = f"SELECT i % {KEYS} AS id, CAST(i AS DECIMAL(18, 0)) AS cost FROM range({ROWS}) AS r(i)"
    duckdb.connect().execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 4096)")
    return RowFile(
        path=path, format=FileFormat.PARQUET, name="rows.parquet", optional=frozenset({"day", "at", "note", "others"})
    )


def test_a_merge_keeps_the_last_row_of_a_key(run: Callable[[Body], None], bills: TableSchema, file: RowFile) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        assert (await stage.write_file(0, file)).rows == ROWS
        await warehouse.load(a_load(bills, mode=WriteMode.MERGE, key_fields=("id",)), stage)
        [found] = await rows_of(warehouse, "SELECT COUNT(*), MIN(cost - id), MAX(cost - id) FROM bills")
        assert found == (KEYS, ROWS - KEYS, ROWS - KEYS)

    run(body)


def test_a_file_out_of_order_is_complete(run: Callable[[Body], None], bills: TableSchema, file: RowFile) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")

        assert (await stage.write_file(0, replace(file, in_order=False))).rows == ROWS
        await warehouse.load(a_load(bills), stage)
        [found] = await rows_of(warehouse, "SELECT COUNT(DISTINCT cost), COUNT(DISTINCT id), SUM(cost) FROM bills")
        assert found == (ROWS, KEYS, ROWS * (ROWS - 1) // 2)

    run(body)
