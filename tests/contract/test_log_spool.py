"""Events of a process that ended before the warehouse was opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from convergence.adapters.local.log_sink import LogSink
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.table_schema import TableSchemas
from convergence.ports.warehouse import Scope, Statement
from tests.contract.test_log_sink import CONFIGS, SteppedClock, an_event

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
            named = {"runs": runs, "steps": logs, "audit": audit}
            sink = LogSink(warehouse, **named, dataset_of=dataset_of, clock=clock, fold_bytes=fold_bytes)
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


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def test_short_processes_leave_their_events_to_the_next_that_opens_the_warehouse(process: Process) -> None:
    process.run_steps("a", "b")
    process.run_steps("c")
    assert not (process.spool.parents[1] / "warehouse.duckdb").exists()
    assert process.run_steps("d", opens=True) == ["a", "b", "c", "d"]
    assert not process.spool.exists()


def test_a_torn_line_is_left_out(process: Process) -> None:
    process.run_steps("a")
    with process.spool.open("ab") as file:
        file.write(b'\n{"id": "e9", "type": "step.comp')
    process.run_steps("b")
    assert process.run_steps("c", opens=True) == ["a", "b", "c"]


def test_a_large_file_is_folded(process: Process) -> None:
    process.run_steps("a")
    assert process.run_steps("b", "c", fold_bytes=500) == ["a", "b", "c"]


def test_a_fold_that_was_killed_is_done_again(process: Process) -> None:
    process.run_steps("a")
    process.spool.rename(process.spool.with_name("events.taken.ndjson"))
    assert process.run_steps("b", opens=True) == ["a", "b"]


def test_nothing_to_tell_opens_nothing(process: Process) -> None:
    assert process.run_steps() == []
    assert not process.spool.parent.exists()
