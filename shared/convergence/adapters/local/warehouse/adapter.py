"""The port `Warehouse` on DuckDB: one file, GoogleSQL translated, everything in transactions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from convergence.adapters.local.warehouse import expired as old
from convergence.adapters.local.warehouse import ledger, tables
from convergence.adapters.local.warehouse.append import append_rows, spool_rows
from convergence.adapters.local.warehouse.call import call_procedure, rehearse_call
from convergence.adapters.local.warehouse.diagnose import diagnose
from convergence.adapters.local.warehouse.file_rows import stage_file
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.load import load_slices
from convergence.adapters.local.warehouse.migrations import migrate
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.adapters.local.warehouse.query import Query
from convergence.adapters.local.warehouse.routines import Routines
from convergence.adapters.local.warehouse.rows import rows_of_files
from convergence.adapters.local.warehouse.session import Session
from convergence.adapters.local.warehouse.stage import NdjsonStage, stage_folder, stages_before
from convergence.adapters.local.warehouse.statements import Statements
from convergence.adapters.warehouse_checks import check_ids, check_load, check_wait
from convergence.ports.clock import Clock
from convergence.ports.warehouse import (
    Column,
    Effect,
    ExpiredRows,
    Load,
    LoadResult,
    ProcedureCall,
    QueryResult,
    Routine,
    Row,
    RowFile,
    Scope,
    Stage,
    StagedFile,
    StagedRows,
    Statement,
    TableSchema,
    WriteMode,
)

STATEMENT_LIMIT_S: Final = 600.0  # a step's default, unless its file sets another


class DuckDbWarehouse:
    """The embedded warehouse. `path` is the database file, None for one in memory (tests).

    Staged rows are in a folder `staging` beside the file. `project` is the name that SQL may put before a dataset.
    A statement without a time limit of its own ends after `statement_limit_s`.
    DuckDB is imported and the file opened on first use. See `warehouse.session` for concurrency.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        project: str = "local",
        threads: int = 2,
        memory_mib: int = 160,
        statement_limit_s: float = STATEMENT_LIMIT_S,
    ) -> None:
        self.session = Session(path, threads=threads, memory_mib=memory_mib)
        self._clock, self._limit_s = clock, statement_limit_s
        self._statements = Statements(project)
        self._routines = Routines(project)
        self._ensured: set[tuple[str, TableSchema]] = set()
        self._datasets: set[str] = set()
        self._appended = self._exported = 0

    def close(self) -> None:
        """Wait for running statements and close the file."""
        self.session.close()

    async def ensure_dataset(self, dataset: str) -> None:
        """Create the dataset unless it exists."""
        await self.session.write(lambda job: tables.ensure_dataset(job, dataset))

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        """Create the table, or add its new columns. Raises `SchemaMismatch` when a type changed."""
        if (dataset, table) not in self._ensured:
            await self.session.write(lambda job: tables.ensure_table(job, dataset, table))
            self._statements.catalog.forget()
            self._ensured.add((dataset, table))

    async def columns(self, dataset: str, table: str) -> tuple[Column, ...]:
        """Return the columns of a stored table; see the port."""
        return await self.session.read(lambda job: tables.columns_of(job, dataset, table))

    async def column_names(self, dataset: str) -> Mapping[str, tuple[str, ...]]:
        """Return the columns of each table and view of a dataset; see the port."""
        return await self.session.read(lambda job: tables.names_of_columns(job, dataset))

    def stage(self, dataset: str, table: TableSchema, name: str) -> Stage:
        """Return the stage `name`; parts that an earlier process wrote are still in it."""
        return NdjsonStage(self.session.staging, dataset, table, name, self._convert, self._read_file)

    def drop_stages(self) -> None:
        """Drop all staged rows, which executions that died left behind."""
        shutil.rmtree(self.session.staging, ignore_errors=True)

    def stages_before(self, at: datetime) -> list[StagedRows]:
        """Return the stages to which nothing was written since `at`."""
        return stages_before(self.session.staging, at)

    def drop_stage(self, stage: StagedRows) -> None:
        """Remove a stage's rows; see the port."""
        shutil.rmtree(stage_folder(self.session.staging, *stage), ignore_errors=True)

    async def load(self, load: Load, *stages: Stage) -> LoadResult:
        """Make the staged rows visible and drop the stages; see the port."""
        folders = [stage for stage in stages if isinstance(stage, NdjsonStage)]
        assert len(folders) == len(stages), "a stage comes from this warehouse"
        check_load(load)
        await self.ensure_table(load.dataset, load.table)
        finished_at = self._clock.now()
        for stage in folders:
            await stage.finish_chunks(in_order=load.mode is WriteMode.MERGE)
        result = await self.session.write(lambda job: _load(job, load, folders, finished_at))
        for stage in folders:
            await stage.discard()
        return result

    async def _convert(self, table: TableSchema, parts: list[Path], chunk: Path) -> None:
        """Copy staged parts into one typed file; on a reader's thread, so writers continue."""
        source = rows_of_files(table, [str(part) for part in parts])
        copy = statement("chunk", source=source, file=quoted(str(chunk)))
        await self.session.read(lambda job: job.execute(copy))

    async def _read_file(self, table: TableSchema, file: RowFile, chunk: Path) -> StagedFile:
        """Read a file into one typed chunk; on a reader's thread, so writers continue."""
        return await self.session.read(lambda job: stage_file(job, file, table, chunk))

    async def append(self, dataset: str, table: TableSchema, rows: Sequence[Row], *, ids: Sequence[str]) -> None:
        """Add rows of a log; see the port. A repeat shows twice: the ids are not kept."""
        check_ids(rows, ids)
        await self.ensure_table(dataset, table)
        self._appended += 1
        path = spool_rows(self.session.staging, table, rows, f"{self._appended}")
        await self.session.write(lambda job: append_rows(job, dataset, table, path))

    async def query(self, statement: Statement) -> QueryResult:
        """Run one GoogleSQL statement; see the port. It runs in this process, so it always ends: no `StillRunning`."""
        check_wait(statement.wait_s, statement.job_id)
        await self._found(statement.scope.dataset)
        query, at, limit_s = Query(statement), self._clock.now(), self._limit(statement)
        if statement.dry_run:
            return await self.session.read(
                lambda job: query.dry_run(job, self._statements), googlesql=True, limit_s=limit_s
            )
        if statement.scope.writable:
            return await self._write(lambda job: query.write(job, self._statements, at), limit_s)
        return await self.session.read(lambda job: query.read(job, self._statements), googlesql=True, limit_s=limit_s)

    async def write_parquet(self, statement: Statement, path: Path) -> int:
        """Write the result of a SELECT to a file; see `ParquetWriter`."""
        await self._found(statement.scope.dataset)
        with self._exporting(path) as rows_file:
            return await self.session.read(
                lambda job: Query(statement).export(job, self._statements, rows_file),
                googlesql=True,
                limit_s=self._limit(statement),
            )

    @contextmanager
    def _exporting(self, path: Path) -> Iterator[Path]:
        """Provide a file that DuckDB may write; once written, it is moved to `path`."""
        self._exported += 1
        folder = self.session.staging / f"export_{self._exported}"  # the only place where DuckDB itself may write
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder / "rows"
            part = path.with_name(f"{path.name}.part")
            shutil.move(folder / "rows", part)
            part.replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def call(self, call: ProcedureCall) -> QueryResult:
        """Call a stored procedure; see the port. It always ends: no `StillRunning`."""
        check_wait(call.wait_s, call.job_id)
        await self._found(call.scope.dataset)
        at = self._clock.now()
        if call.dry_run:
            return await self.session.read(
                lambda job: rehearse_call(job, self._statements, self._routines, call), googlesql=True
            )

        def work(job: Job) -> QueryResult:
            return call_procedure(job, self._statements, self._routines, call, at).as_result()

        return await self._write(work, self._limit(call))

    async def close_job(
        self,
        job_id: str,
        *,
        scope: Scope,  # noqa: ARG002 - one file holds the jobs of all datasets
        wait_s: float | None = None,
    ) -> Effect | None:
        """Revoke the job unless it took effect; see the port. Writers come one after the other, so none is running."""
        check_wait(wait_s, job_id)
        at = self._clock.now()
        return await self.session.write(lambda job: ledger.close(job, job_id, at))

    async def count_expired(self, expired: Sequence[ExpiredRows]) -> int:
        """Return how many rows have expired; see the port. Creates no file."""
        if not self.session.is_there:
            return 0
        return await self.session.read(lambda job: old.count(job, expired))

    async def remove_expired(self, expired: Sequence[ExpiredRows], *, wake: bool) -> int:
        """Remove them; see the port."""
        if not (self.session.is_open or (wake and self.session.is_there)):
            return 0
        removed = 0
        while True:
            some = await self.session.write(lambda job: old.remove_some(job, expired))
            removed += some
            if not some:
                return removed

    async def sync_routines(self, routines: Sequence[Routine], *, force: bool = False) -> list[str]:
        """Create or replace routines; see the port."""
        return await self.session.write(lambda job: self._routines.sync(job, routines, force=force))

    async def list_routines(self) -> list[Routine]:
        """Return all routines, by name."""
        return await self.session.read(self._routines.all)

    async def get_routine(self, name: str) -> Routine:
        """Return the routine of this name. Raises `NotFound` with the nearest name."""
        return await self.session.read(lambda job: self._routines.get(job, name))

    async def delete_routine(self, name: str) -> None:
        """Remove a routine. Raises `NotFound`."""
        await self.session.write(lambda job: self._routines.delete(job, name))

    async def migrate(self, migrations: Sequence[Routine], *, dataset: str, dry_run: bool = False) -> list[str]:
        """Run the migrations that the dataset has not seen; see the port."""
        at = self._clock.now()

        def work(job: Job) -> list[str]:
            try:
                given = (job, self._statements, self._routines, migrations)
                return migrate(*given, dataset=dataset, at=at, dry_run=dry_run)
            finally:
                self._statements.catalog.forget()

        return await self.session.write(work, googlesql=True)

    async def _found(self, dataset: str) -> None:
        """Create the dataset for a statement that may be the first to use it."""
        if dataset not in self._datasets:
            await self.ensure_dataset(dataset)
            self._datasets.add(dataset)

    def _limit(self, sent: Statement | ProcedureCall) -> float:
        return self._limit_s if sent.timeout_s is None else sent.timeout_s

    async def _write(self, work: Callable[[Job], QueryResult], limit_s: float) -> QueryResult:
        def then_forget(job: Job) -> QueryResult:
            try:
                return work(job)
            finally:
                if job.has_defined:
                    self._statements.catalog.forget()

        return await self.session.write(then_forget, googlesql=True, limit_s=limit_s)


def _load(job: Job, load: Load, stages: Sequence[NdjsonStage], finished_at: object) -> LoadResult:
    try:
        return load_slices(job, load, stages, finished_at)
    except Exception as error:
        import duckdb

        if not isinstance(error, duckdb.Error | UnicodeDecodeError):
            raise
        reason = diagnose(load, stages)
        if reason is None:
            raise
        raise reason from error
