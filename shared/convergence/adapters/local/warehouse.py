"""The port `Warehouse` on DuckDB: one file, GoogleSQL translated, everything in transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from convergence.adapters.local import warehouse_tables as tables
from convergence.adapters.local.warehouse_diagnose import diagnose
from convergence.adapters.local.warehouse_load import check_load, load_slices
from convergence.adapters.local.warehouse_query import (
    Translator,
    check_bytes,
    estimate_bytes,
    python_value,
    run_statement,
)
from convergence.adapters.local.warehouse_session import Job, Session
from convergence.adapters.local.warehouse_stage import NdjsonStage
from convergence.errors import StepFailed
from convergence.ports.clock import Clock
from convergence.ports.warehouse import (
    Load,
    LoadResult,
    Parameter,
    QueryResult,
    Routine,
    Scope,
    Stage,
    TableSchema,
)


class DuckDbWarehouse:
    """The embedded warehouse. `path` is the database file, None for one in memory (tests).

    Staged rows lie in a folder `staging` beside the file. `project` is the name that SQL may put before a dataset.
    DuckDB is imported and the file opened on first use. See `warehouse_session` for concurrency.
    """

    def __init__(
        self, path: Path | None, *, clock: Clock, project: str = "local", threads: int = 2, memory_mib: int = 160
    ) -> None:
        self.session = Session(path, threads=threads, memory_mib=memory_mib)
        self._clock = clock
        self._translator = Translator(project)
        self._ensured: set[tuple[str, TableSchema]] = set()

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
            self._ensured.add((dataset, table))

    def stage(self, dataset: str, table: TableSchema, name: str) -> Stage:
        """Return the stage `name`; parts that an earlier process wrote are still in it."""
        return NdjsonStage(self.session.staging, dataset, table, name)

    async def load(self, load: Load, *stages: Stage) -> LoadResult:
        """Make the staged rows visible and drop the stages; see the port."""
        folders = [stage for stage in stages if isinstance(stage, NdjsonStage)]
        assert len(folders) == len(stages), "a stage comes from this warehouse"
        check_load(load)
        await self.ensure_table(load.dataset, load.table)
        finished_at = self._clock.now()
        result = await self.session.write(lambda job: _load(job, load, folders, finished_at))
        for stage in folders:
            await stage.discard()
        return result

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        scope: Scope,
        job_id: str | None = None,
        rows_max: int = 10_000,
        bytes_max: int | None = None,
        dry_run: bool = False,
    ) -> QueryResult:
        """Run one GoogleSQL statement; see the port."""
        given = parameters or {}
        around = self._translator.around(scope, given)
        values = {name.lower(): python_value(name, parameter) for name, parameter in given.items()}

        def work(job: Job) -> QueryResult:
            translation = self._translator.translate(sql, around)
            if dry_run or bytes_max is not None:
                estimate = estimate_bytes(job, translation)
                if dry_run:
                    touched = translation.touched.reads | translation.touched.writes
                    return QueryResult(
                        bytes_processed=estimate, tables=tuple(sorted(".".join(name) for name in touched))
                    )
                check_bytes(estimate, bytes_max)
            return run_statement(job, translation, values, rows_max)

        return await (self.session.write(work) if scope.writable else self.session.read(work))

    async def call(
        self, procedure: str, arguments: Mapping[str, Parameter], *, scope: Scope, job_id: str
    ) -> QueryResult:
        """Call a stored procedure; see the port."""
        raise StepFailed(f"no procedure is called {procedure!r}")

    async def sync_routines(self, routines: Sequence[Routine], *, force: bool = False) -> list[str]:
        """Create or replace routines; see the port."""
        return []

    async def list_routines(self) -> list[Routine]:
        """Return all routines, by name."""
        return []

    async def delete_routine(self, name: str) -> None:
        """Remove a routine. Raises `NotFound`."""


def _load(job: Job, load: Load, stages: Sequence[NdjsonStage], finished_at: object) -> LoadResult:
    try:
        return load_slices(job, load, stages, finished_at)
    except Exception as error:
        import duckdb

        if not isinstance(error, duckdb.Error):
            raise
        reason = diagnose(load, stages)
        if reason is None:
            raise
        raise reason from error
