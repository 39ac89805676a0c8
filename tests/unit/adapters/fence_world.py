"""Two orgs in one DuckDB file, for tests of the wall between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convergence.adapters.local.clock import SystemClock
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.adapters.local.warehouse.fence import Fence, run_inside
from convergence.adapters.local.warehouse.job import Job

ACME = Fence("acme_dev", writable=True)


class World:
    """Two orgs in one file; `run` works on the writer's thread, as a statement that passed the first wall would."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = DuckDbWarehouse(folder / "warehouse.duckdb", clock=SystemClock())
        for sql in (
            "CREATE SCHEMA acme_dev",
            "CREATE SCHEMA globex_dev",
            "CREATE TABLE acme_dev.usage AS SELECT 1 AS a, 'x' AS b",
            "CREATE TABLE globex_dev.secret AS SELECT 42 AS a, 'hidden' AS b",
            "CREATE VIEW acme_dev.own AS SELECT * FROM acme_dev.usage",
            "CREATE VIEW acme_dev.stolen AS SELECT * FROM globex_dev.secret",
            "CREATE MACRO acme_dev.peek(x) AS (SELECT count(*) FROM globex_dev.secret WHERE a = x)",
            "CREATE MACRO acme_dev.peek_all(x) AS TABLE SELECT * FROM globex_dev.secret",
        ):
            self.execute(sql)

    def execute(self, sql: str) -> Any:
        return self.do(lambda job: job.execute(sql))

    def do(self, work: Callable[[Job], Any]) -> Any:
        return asyncio.run(self.warehouse.session.write(work, googlesql=True))

    def inside(self, sql: str, fence: Fence = ACME) -> list[tuple[Any, ...]]:
        def work(job: Job) -> list[tuple[Any, ...]]:
            with job.transaction():
                answer = run_inside(job, fence, sql, {})
                return answer.fetchall() if answer.description else []

        found: list[tuple[Any, ...]] = self.do(work)
        return found

    def secret(self) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.do(lambda job: job.execute("FROM globex_dev.secret").fetchall())
        return found
