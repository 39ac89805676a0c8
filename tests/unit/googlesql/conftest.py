"""GoogleSQL run on an embedded warehouse in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.ports.warehouse import Parameter, ProcedureCall, QueryResult, Routine, Scope, Statement

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCOPE = Scope(dataset="d", writable=True)


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class GoogleSql:
    """One warehouse and one event loop for many short statements."""

    def __init__(self) -> None:
        self.warehouse = DuckDbWarehouse(None, clock=StoppedClock(), project="p")
        self._loop = asyncio.new_event_loop()
        self._calls = 0
        self.wait(self.warehouse.ensure_dataset("d"))

    def wait(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def query(self, sql: str, parameters: dict[str, Parameter] | None = None, **options: Any) -> QueryResult:
        scope = options.pop("scope", SCOPE)
        result: QueryResult = self.wait(self.warehouse.query(Statement(sql, parameters or {}, scope=scope, **options)))
        return result

    def value(self, expression: str, **parameters: Parameter) -> Any:
        """Return the value of one expression."""
        [row] = self.query(f"SELECT {expression}", parameters).rows
        [value] = row.values()
        return value

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.query(sql).rows]

    def define(self, body: str, arguments: str = "", name: str = "sp_test") -> None:
        """Store a procedure."""
        text = f"CREATE OR REPLACE PROCEDURE `p.organizations`.{name}({arguments})\nBEGIN\n{body}\nEND;"
        self._calls += 1
        routine = Routine(name, f"digest{self._calls}", f"{name}.sql", text)
        self.wait(self.warehouse.sync_routines([routine]))

    def call(
        self, name: str = "sp_test", *, scope: Scope = SCOPE, job_id: str = "", **arguments: Parameter
    ) -> QueryResult:
        self._calls += 1
        job_id = job_id or f"job{self._calls}"
        result: QueryResult = self.wait(self.warehouse.call(ProcedureCall(name, arguments, scope=scope, job_id=job_id)))
        return result

    def script(self, body: str) -> list[tuple[Any, ...]]:
        """Run a body as a procedure; return the rows of its last SELECT."""
        self.define(body)
        return [tuple(row.values()) for row in self.call().rows]

    def close(self) -> None:
        self.warehouse.close()
        self._loop.close()


@pytest.fixture(scope="module")
def shared_sql() -> Iterator[GoogleSql]:
    sql = GoogleSql()
    yield sql
    sql.close()


@pytest.fixture
def sql(shared_sql: GoogleSql) -> Iterator[GoogleSql]:
    """GoogleSQL with an empty dataset `d`."""
    yield shared_sql
    for (name,) in shared_sql.rows("SELECT table_name FROM d.INFORMATION_SCHEMA.TABLES"):
        shared_sql.query(f"DROP TABLE IF EXISTS `{name}`")
