"""A process that writes its log and ends, as the command line does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from convergence.adapters.local.log_sink import LogSink
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.ports.warehouse import Scope, Statement
from tests.contract.log_events import CONFIGS, SteppedClock, an_event

SQL = "SELECT step_id FROM organizations.org_meta_step_logs ORDER BY step_id"


class Process:
    """One process after the other on the same files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spool = folder / "log" / "events.ndjson"

    def run_steps(self, *steps: str, opens: bool = False, fold_bytes: int = 10_000) -> list[str]:
        """Log these steps and end; with `opens`, open the warehouse first and return what it holds at the end."""

        async def main() -> list[str]:
            schemas, clock = TableSchemas(CONFIGS), SteppedClock()
            warehouse = DuckDbWarehouse(self._folder / "warehouse.duckdb", clock=clock)
            runs, logs = schemas.get("org_meta_pipeline_runs"), schemas.get("org_meta_step_logs")
            dataset_of: Callable[[str], str] = "{}_dev".format
            audit = schemas.get("org_audit_logs")
            sink = LogSink(
                warehouse, runs=runs, steps=logs, audit=audit, dataset_of=dataset_of, clock=clock, fold_bytes=fold_bytes
            )
            for number, step in enumerate(steps):
                sink.accept([an_event(hash((step, number)), step_id=step)])
            if opens:
                await warehouse.ensure_dataset("other")
            await sink.close()
            found: list[str] = []
            if warehouse.session.is_open:
                result = await warehouse.query(Statement(SQL, scope=Scope(dataset="organizations")))
                found = [row["step_id"] for row in result.rows]
            warehouse.close()
            return found

        return asyncio.run(main())
