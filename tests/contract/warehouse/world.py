"""What the tests of a warehouse share: a table, rows, loads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any

from convergence.ports.warehouse import (
    Lineage,
    Load,
    LoadResult,
    Parameter,
    Scope,
    Stage,
    Statement,
    TableSchema,
    Warehouse,
)

NOW = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
JAN_1, JAN_2, JAN_3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
READ = Scope(dataset="acme_prod")
WRITE = Scope(dataset="acme_prod", writable=True)
FIELDS = """[
  {"name": "id", "type": "INT64", "mode": "REQUIRED"}, {"name": "day", "type": "DATE"},
  {"name": "at", "type": "TIMESTAMP"}, {"name": "cost", "type": "NUMERIC"}, {"name": "exact", "type": "BIGNUMERIC"},
  {"name": "share", "type": "FLOAT64"}, {"name": "open", "type": "BOOL"}, {"name": "note", "type": "STRING"},
  {"name": "raw", "type": "JSON"}, {"name": "data", "type": "BYTES"},
  {"name": "tags", "type": "RECORD", "mode": "REPEATED", "fields": [
    {"name": "key", "type": "STRING"}, {"name": "amount", "type": "NUMERIC"}]}
]"""


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


Body = Callable[[Warehouse], Awaitable[None]]


def a_lineage(**changes: Any) -> Lineage:
    values: dict[str, Any] = {
        "org_slug": "acme",
        "pipeline_id": "acme-usage",
        "credential_id": "c1",
        "run_id": "r1",
        "ingested_at": NOW,
    }
    return Lineage(**(values | changes))


async def staged(warehouse: Warehouse, table: TableSchema, rows: Iterable[dict[str, Any]], name: str = "s") -> Stage:
    stage = warehouse.stage("acme_prod", table, name)
    await stage.write(0, list(rows))
    return stage


def a_load(table: TableSchema, **changes: Any) -> Load:
    values: dict[str, Any] = {
        "job_id": "j1",
        "dataset": "acme_prod",
        "table": table,
        "lineage": a_lineage(),
        "dates": (JAN_1,),
    }
    return Load(**(values | changes))


async def load(warehouse: Warehouse, table: TableSchema, rows: Iterable[dict[str, Any]], **changes: Any) -> LoadResult:
    name = str(changes.get("job_id", "j1"))
    return await warehouse.load(a_load(table, **changes), await staged(warehouse, table, rows, name))


async def write_and_load(warehouse: Warehouse, load: Load, stage: Stage, rows: list[dict[str, Any]]) -> None:
    await stage.write(1, rows)
    await warehouse.load(load, stage)


async def rows_of(warehouse: Warehouse, sql: str, **parameters: Parameter) -> list[tuple[Any, ...]]:
    result = await warehouse.query(Statement(sql, parameters, scope=READ))
    return [tuple(row.values()) for row in result.rows]
