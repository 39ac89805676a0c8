"""The operational log: run events, spooled to a file, folded into the warehouse in bulk.

The loop only appends bytes; DuckDB reads the file on the writer's thread. Few large writes are cheap, many small ones
are not: DuckDB holds Python's lock while it plans, and every step would wait for it. The log tables describe, they
decide nothing; what a killed process had not spooled yet (a second's worth) is missing from them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.warehouse import tables
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.errors import ConvergenceError, StepFailed, Transient
from convergence.ports.bus import Message
from convergence.ports.clock import Clock
from convergence.ports.warehouse import SHARED_DATASET, TableSchema

logger = logging.getLogger(__name__)
_AGAIN_S: Final = 5.0  # after the file could not be written
_ORG: Final = re.compile(r"[A-Za-z0-9_-]+")


class LogSink:
    """An observer of `run-events` and `audit-events` (`LocalBus.tap`).

    `runs`, `steps` and `audit` are the schemas of org_meta_pipeline_runs, org_meta_step_logs and org_audit_logs.
    `dataset_of` names an org's dataset; there a view of each table shows the org its own rows, repeats removed. Events
    reach the file `interval_s` after they arrived at the latest, and the tables when the file has `fold_bytes`, or at
    `flush`.
    """

    def __init__(
        self,
        warehouse: DuckDbWarehouse,
        *,
        runs: TableSchema,
        steps: TableSchema,
        audit: TableSchema,
        dataset_of: Callable[[str], str],
        clock: Clock,
        fold_bytes: int = 1_000_000,
        interval_s: float = 0.25,
    ) -> None:
        self._warehouse, self._clock = warehouse, clock
        self._tables = (runs, steps, audit)
        self._dataset_of = dataset_of
        self._fold_bytes, self._interval_s = fold_bytes, interval_s
        self._spool = warehouse.session.logs / "events.ndjson"
        self._taken = warehouse.session.logs / "events.taken.ndjson"
        self._spooled = self._spool.stat().st_size if self._spool.exists() else 0
        self._unreadable = warehouse.session.logs / "events.unreadable.ndjson"
        self._events: list[bytes] = []
        self.trouble: str | None = None  # why events are not in the file yet
        self._timer: asyncio.TimerHandle | None = None
        self.folding: asyncio.Task[None] | None = None  # the fold that was started last
        self._lock = asyncio.Lock()
        self._orgs: set[str] = set()

    def accept(self, messages: Sequence[Message]) -> None:
        """Keep events. Nothing is parsed here: this runs once per transition, on the loop."""
        for message in messages:
            self._events.append(message.data)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self.write_due)

    async def flush(self) -> None:
        """Fold everything into the tables. Raises what the warehouse raises; the file stays for the next time."""
        self._write()
        async with self._lock:
            if self._taken.exists():  # a fold that did not finish: its events may be there twice, but are shown once
                await self._fold()
            if self._spooled:
                self._spool.rename(self._taken)
                self._spooled = 0
                await self._fold()

    async def close(self) -> None:
        """Write the rest and stop. A short process leaves it in the file: opening DuckDB takes longer than a step."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.folding is not None:
            await asyncio.gather(self.folding, return_exceptions=True)
        self._write()
        if self._warehouse.session.is_open or self._spooled >= self._fold_bytes:
            await self.flush()

    def write_due(self) -> None:
        """Write what has gathered, and start a fold if the file is large enough; called by the timer."""
        self._timer = None
        try:
            self._write()
        except Transient:  # reported by `trouble`; the events are kept
            self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self.write_due)
            return
        if self._spooled >= self._fold_bytes and (self.folding is None or self.folding.done()):
            self.folding = asyncio.get_running_loop().create_task(self._fold_later())

    async def _fold_later(self) -> None:
        with contextlib.suppress(ConvergenceError):  # the file stays; the next fold tries again
            await self.flush()

    def _write(self) -> None:
        """Append what is kept to the file; line ends come first, so a torn line damages only itself."""
        if not self._events:
            return
        lines = b"".join(b"\n" + event for event in self._events)
        try:
            self._spool.parent.mkdir(parents=True, exist_ok=True)
            with self._spool.open("ab") as file:
                file.write(lines)
        except OSError as error:  # those that are already there are added twice, and shown once
            self.trouble = f"the operational log cannot be written: {self._spool}: {error.strerror}"
            raise Transient(self.trouble) from error
        self.trouble = None
        self._events.clear()
        self._spooled += len(lines)

    async def _fold(self) -> None:
        for table in self._tables:
            await self._warehouse.ensure_table(SHARED_DATASET, table)
        at = self._clock.now()
        try:
            await self._warehouse.session.write(lambda job: self._store(job, self._taken, at))
        except StepFailed:  # not the file as a whole, so a line of it
            await self._fold_lines([line for line in self._taken.read_bytes().split(b"\n") if line], at)
        self._taken.unlink()

    async def _fold_lines(self, lines: list[bytes], at: datetime) -> None:
        """Fold what can be read, by halves; an unreadable line is set aside, so that it does not stop the log."""
        part = self._taken.with_name("events.part.ndjson")
        part.write_bytes(b"\n".join(lines))
        try:
            await self._warehouse.session.write(lambda job: self._store(job, part, at))
        except StepFailed as error:
            if len(lines) == 1:
                with self._unreadable.open("ab") as file:
                    file.write(lines[0] + b"\n")
                logger.error("an event of the operational log is set aside in %s: %s", self._unreadable, error)
                return
            middle = len(lines) // 2
            await self._fold_lines(lines[:middle], at)
            await self._fold_lines(lines[middle:], at)
        finally:
            part.unlink(missing_ok=True)

    def _store(self, job: Job, events: Path, at: datetime) -> None:
        with job.transaction():
            job.execute(statement("log_events"), {"file": str(events)})
            job.execute(statement("log_runs"), {"at": at})
            job.execute(statement("log_steps"), {"at": at})
            job.execute(statement("log_audit"), {"at": at})
            orgs = {str(row[0]) for row in job.execute(statement("log_orgs")).fetchall()} - self._orgs
        for org in orgs:
            try:
                self._show(job, org)
            except duckdb.CatalogException as error:  # the rows are stored; its views of them are missing
                logger.error(
                    "%s cannot read its logs, because a table there has the name of one of them: %s", org, error
                )
        self._orgs |= orgs

    def _show(self, job: Job, org: str) -> None:
        """Give the org its views."""
        if not _ORG.fullmatch(org):
            return  # an unknown org: its rows are visible to the operator only
        dataset = self._dataset_of(org)
        for table in self._tables:
            if table.written is not None:
                tables.ensure_table(job, dataset, table.written)
        with job.transaction():
            self._create_views(job, org, dataset)

    def _create_views(self, job: Job, org: str, dataset: str) -> None:
        tables.ensure_dataset(job, dataset)
        for table in self._tables:
            names = {"table": duckdb_name(dataset, table.name), "source": duckdb_name(SHARED_DATASET, table.name)}
            added = ""
            if table.written is not None:  # rows of the org's own statements, which have no event
                added = f"\nUNION ALL BY NAME SELECT * FROM {duckdb_name(dataset, table.written.name)}"  # noqa: S608 - quoted
            job.execute(statement("log_view", **names, org=quoted(org), written=added))
