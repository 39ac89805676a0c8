"""The operational log: run events, collected on the loop and written to the warehouse in batches.

The loop only keeps bytes; DuckDB parses them on the writer's thread. What is buffered when a process is killed is
missing from the log tables: they describe, they decide nothing. A process that ends before anybody opened the
warehouse leaves its events in a file for the next one: to open DuckDB for them would cost a tenth of a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from convergence.adapters.local import warehouse_tables as tables
from convergence.adapters.local.warehouse import DuckDbWarehouse
from convergence.adapters.local.warehouse_session import Job
from convergence.adapters.local.warehouse_statements import quoted, statement
from convergence.errors import ConvergenceError
from convergence.ports.bus import Ack, Answer, Delivery, Message
from convergence.ports.clock import Clock
from convergence.ports.warehouse import TableSchema

DATASET: Final = "organizations"
SPOOLED_BYTES_MAX: Final = 1_000_000  # then opening the warehouse is worth it
KEPT_MAX: Final = 200_000  # events that wait while the warehouse cannot be written; then the oldest go
_ORG: Final = re.compile(r"[A-Za-z0-9_-]+")


class LogSink:
    """A subscriber of `run-events`.

    `runs` and `steps` are the schemas of org_meta_pipeline_runs and org_meta_step_logs. `dataset_of` names an org's
    dataset; there a view of each table shows the org its own rows, repeats removed. A batch is written when it has
    `batch_events` events, or `interval_s` after its first. `spool` is the file for events of short processes.
    """

    def __init__(
        self,
        warehouse: DuckDbWarehouse,
        *,
        runs: TableSchema,
        steps: TableSchema,
        dataset_of: Callable[[str], str],
        clock: Clock,
        batch_events: int = 1_000,
        interval_s: float = 2.0,
        spool: Path | None = None,
    ) -> None:
        self._warehouse, self._clock = warehouse, clock
        self._tables = (runs, steps)
        self._dataset_of = dataset_of
        self._batch_events, self._interval_s = batch_events, interval_s
        self._spool = spool
        self._events: list[bytes] = []
        self._timer: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._full: asyncio.Task[None] | None = None
        self._orgs: set[str] = set()

    async def __call__(self, delivery: Delivery) -> Answer:
        """Keep the event of one delivery."""
        self.accept([delivery.message])
        return Ack()

    def accept(self, messages: Sequence[Message]) -> None:
        """Keep events. Nothing is parsed here: this runs once per transition, on the loop."""
        self._events.extend(message.data for message in messages)
        if self._timer is None:
            self._timer = asyncio.create_task(self._flush_later())
        elif len(self._events) >= self._batch_events and self._full is None:
            self._full = asyncio.create_task(self._flush_full())

    async def flush(self) -> None:
        """Write what is kept. Raises what the warehouse raises; the events stay for the next time."""
        async with self._writing:
            await self._take_spool()
            while self._events:  # in batches: what DuckDB needs for one, it keeps
                batch = self._events[: self._batch_events]
                del self._events[: self._batch_events]
                try:
                    await self._write(batch)
                except BaseException:
                    self._events = (batch + self._events)[-KEPT_MAX:]
                    raise

    async def _write(self, events: Sequence[bytes]) -> None:
        for table in self._tables:
            await self._warehouse.ensure_table(DATASET, table)
        text = (b"[" + b",".join(events) + b"]").decode()
        at = self._clock.now()
        await self._warehouse.session.write(lambda job: self._store(job, text, at))

    async def close(self) -> None:
        """Write the rest and stop. Closing twice is harmless."""
        for task in (self._timer, self._full):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._timer = self._full = None
        if not self._leave_in_spool():
            await self.flush()

    def _leave_in_spool(self) -> bool:
        """Append what is kept to the spool, if that is enough; return whether it was."""
        if self._spool is None or self._warehouse.session.is_open:
            return False
        size = self._spool.stat().st_size if self._spool.exists() else 0
        if size + sum(map(len, self._events)) > SPOOLED_BYTES_MAX:
            return False
        if self._events:
            with self._spool.open("ab") as file:  # line ends first: what a torn line spoils is itself
                file.write(b"".join(b"\n" + event for event in self._events))
            self._events = []
        return True

    async def _take_spool(self) -> None:
        """Write what earlier processes left."""
        if self._spool is None or not self._spool.exists():
            return
        events = [line for line in self._spool.read_bytes().split(b"\n") if _is_json(line)]
        for start in range(0, len(events), self._batch_events):
            await self._write(events[start : start + self._batch_events])
        self._spool.unlink()  # killed before this: the same events come again, and repeats are not shown

    async def _flush_later(self) -> None:
        try:
            await self._clock.sleep(self._interval_s)
        finally:
            self._timer = None
        with contextlib.suppress(ConvergenceError):  # kept; the next batch tries again
            await self.flush()

    async def _flush_full(self) -> None:
        try:
            with contextlib.suppress(ConvergenceError):
                await self.flush()
        finally:
            self._full = None

    def _store(self, job: Job, events: str, at: datetime) -> None:
        cursor = job.cursor
        with job.transaction():
            cursor.execute(statement("log_events"), {"events": events})
            cursor.execute(statement("log_runs"), {"at": at})
            cursor.execute(statement("log_steps"), {"at": at})
            orgs = {str(row[0]) for row in cursor.execute(statement("log_orgs")).fetchall()} - self._orgs
            for org in orgs:
                self._show(job, org)
        self._orgs |= orgs

    def _show(self, job: Job, org: str) -> None:
        """Give the org its views."""
        if not _ORG.fullmatch(org):
            return  # no org of ours: its rows are visible to the operator only
        dataset = self._dataset_of(org)
        tables.ensure_dataset(job, dataset)
        for table in self._tables:
            words = {"dataset": dataset, "table": table.name, "org": quoted(org)}
            job.cursor.execute(statement("log_view", **words))


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
