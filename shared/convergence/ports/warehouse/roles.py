"""The roles of a warehouse: tables and queries; stored procedures and migrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from convergence.ports.warehouse.files import RowFile, StagedFile
from convergence.ports.warehouse.records import (
    Column,
    Effect,
    Load,
    LoadResult,
    ProcedureCall,
    QueryResult,
    Routine,
    Row,
    Scope,
    Statement,
    TableSchema,
)


class Stage(Protocol):
    """Rows that are not visible yet. Survives a crash: a stage of the same name holds the parts written before `flush`.

    The engine gives each execution of a step a stage of its own, so that one that lost its lease can never mix its rows
    with those of the next; a step that ran in slices loads the stages of all its slices together.
    """

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Store rows as part `part` (from 0); writing a part again replaces it.

        Values: JSON values, Decimal, date, datetime with zone.

        Raises:
            SchemaMismatch: a column that the table does not have, or a number that is NaN or infinite: row and column.
        """
        ...

    async def write_file(self, part: int, file: RowFile) -> StagedFile:
        """Store the rows of a file as part `part`, like `write`, without a Python object for each; it takes the file.

        A stage holds parts of rows or parts of files, not both. A file without rows is a part without rows.

        Raises:
            SchemaMismatch: the file cannot be read, its columns are not those of the table, or (unless they are set
                aside) rows do not fit: name of the file, line, column.
        """
        ...

    async def file_columns(self, file: RowFile) -> tuple[Column, ...]:
        """Return the columns of a Parquet file with the types that its writer gave them; a map is JSON.

        Raises `SchemaMismatch` for a file that cannot be read.
        """
        ...

    async def flush(self) -> None:
        """Return when all parts written so far survive a crash.

        Small parts may wait in memory until then, so that few and large jobs carry them; `load` flushes by itself.
        The engine flushes before it commits a checkpoint.
        """
        ...

    async def discard(self, from_part: int = 0) -> None:
        """Drop this part and all later ones, which an earlier attempt left behind."""
        ...


class Tables(Protocol):
    """Tables and queries. All methods raise `Transient` when the warehouse cannot be reached or is busy.

    A write with a `job_id` (`load`, `query`, `call`) happens once: sent again, it returns the same result as the first
    time. Its `fingerprint`, up to 63 of a-z, 0-9 and `-`, identifies its content, and is stored with it. Every such
    write raises

        AppliedBefore: the job took effect with another `fingerprint`; nothing was written.
        LeaseLost: `close_job` was called first, so the job will never take effect.
    """

    async def ensure_dataset(self, dataset: str) -> None:
        """Create the dataset unless it exists."""
        ...

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        """Create the table, or add its new columns. Raises `SchemaMismatch` when a type changed."""
        ...

    async def columns(self, dataset: str, table: str) -> tuple[Column, ...]:
        """Return the columns that a table has, in its order and with lineage; none when there is no such table.

        Descriptions are those that the warehouse stores, at least of `inferred` tables.
        """
        ...

    async def column_names(self, dataset: str) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the columns of each table and view, all by one query; none without such a dataset."""
        ...

    def stage(self, dataset: str, table: TableSchema, name: str) -> Stage:
        """Return the stage `name`: letters, digits and underscores, unique per run, step and epoch."""
        ...

    async def load(self, load: Load, *stages: Stage) -> LoadResult:
        """Make the rows of all `stages` visible and drop these, in one transaction recorded under `load.job_id`.

        A job id that is already known changes nothing and returns `repeated`.

        Raises:
            SchemaMismatch: names column, row (from 1, in staging order) and value type; nothing was changed.
        """
        ...

    async def append(self, dataset: str, table: TableSchema, rows: Sequence[Row], *, ids: Sequence[str]) -> None:
        """Add rows that are never replaced, such as a log's, one id each; the table is created if it is missing.

        At least once: rows whose ids were added before are left out if the warehouse still knows them, so a repeated
        row may appear twice. Unlike `load` it adds no lineage: a row brings the columns it has, lineage columns
        included.

        Raises:
            InvalidInput: the numbers of ids and rows differ.
            SchemaMismatch: a row does not fit: row (from 1) and column. Rows before it may have been added.
        """
        ...

    async def query(self, statement: Statement) -> QueryResult:
        """Run one GoogleSQL statement.

        Raises:
            StepFailed: the statement is wrong (the message has the nearest names) or over `bytes_max`.
            Denied: it touches a dataset outside `scope`.
            StillRunning: it did not end within `wait_s`.
        """
        ...

    async def close_job(self, job_id: str, *, scope: Scope, wait_s: float | None = None) -> Effect | None:
        """Revoke the job unless it took effect, and return what it did; `scope` is the one it was sent with.

        A job that is running is waited for. Afterwards its outcome is final. None means that it never took effect and
        never will: a late sender gets `LeaseLost`. Otherwise sending it again, with the same `fingerprint`, returns the
        same result as the first time.

        Raises:
            StillRunning: the job did not end within `wait_s`; it continues, and nothing is revoked.
        """
        ...


class Routines(Protocol):
    """Stored procedures and migrations. All methods raise `Transient` as those of `Tables` do."""

    async def call(self, call: ProcedureCall) -> QueryResult:
        """Call a stored procedure, once per `job_id`; return its last SELECT.

        It is one transaction, unless it has transactions of its own (or DDL on permanent tables): then each of its
        COMMITs counts, and lineage is completed before each. What it touches is known and checked before it runs.

        `rows_affected` counts inserted and updated rows, not deleted ones; it is 0 if only temporary tables are
        written. Rows of the run without full lineage are filled from `scope.lineage`; rows that contradict it are
        refused and not committed. A dry run resolves names and types and says which tables are touched and about how
        many bytes are read. `wait_s` and `StillRunning` are those of `query`.

        Raises:
            Denied: it touches a dataset outside `scope`, or SQL that it makes is not known before the call.
            PartlyCommitted: it failed after a COMMIT of its own, now or before; `repeatable` allows it to run again.
        """
        ...

    async def sync_routines(self, routines: Sequence[Routine], *, force: bool = False) -> list[str]:
        """Create or replace those whose digest changed (all with `force`); return their names.

        Raises:
            ConfigErrors: lists every construct that cannot run here, with file and line; no routine was replaced.
        """
        ...

    async def list_routines(self) -> list[Routine]:
        """Return all routines, by name."""
        ...

    async def get_routine(self, name: str) -> Routine:
        """Return the routine of this name (without dataset). Raises `NotFound` with the nearest name."""
        ...

    async def delete_routine(self, name: str) -> None:
        """Remove a routine. Raises `NotFound` with the nearest name."""
        ...

    async def migrate(self, migrations: Sequence[Routine], *, dataset: str, dry_run: bool = False) -> list[str]:
        """Run the scripts that were not run in `dataset` yet, in the order of their names; return the names.

        Each runs in its own transaction and is recorded with its digest. Tables without a dataset are those of
        `dataset`. A dry run changes nothing; it checks the first script that would run.

        Raises:
            ConfigError: a script was changed after it ran, or has a syntax error.
            StepFailed: a statement failed; the scripts before this one stay.
        """
        ...


@runtime_checkable
class ParquetWriter(Protocol):
    """A warehouse that writes Parquet files of this machine; the embedded one does."""

    async def write_parquet(self, statement: Statement, path: Path) -> int:
        """Write the result of a SELECT with the column types that it has, at most `rows_max` rows; return their number.

        An existing file is replaced, once the new one is complete. Raises what `Tables.query` raises.
        """
        ...


@runtime_checkable
class TableSnapshots(Protocol):
    """A warehouse that keeps tables as they were and stores only what differs later; BigQuery does."""

    async def snapshot(self, scope: Scope, tables: Sequence[str], *, suffix: str, until: datetime) -> list[str]:
        """Keep each table of the scope's dataset as `{table}{suffix}`, read-only, until `until`; all without `tables`.

        Returns the names of the tables that have one now. A table that does not exist is left out, and a snapshot
        that exists stays as it is.
        """
        ...


class ExpiredRows(NamedTuple):
    """Rows of a table, in whatever dataset has it, whose `column` (a DATE) is before `first`."""

    table: str
    column: str
    first: date


class StagedRows(NamedTuple):
    """A stage that exists: of which table, under which name, in which dataset."""

    dataset: str
    table: str
    name: str


@runtime_checkable
class RowRemover(Protocol):
    """A warehouse that removes old and abandoned rows when it is asked to; others let partitions and tables expire."""

    async def count_expired(self, expired: Sequence[ExpiredRows]) -> int:
        """Return how many there are; 0 where nothing has been stored yet."""
        ...

    async def remove_expired(self, expired: Sequence[ExpiredRows], *, wake: bool) -> int:
        """Remove them, a bounded number in one transaction; return how many. `wake` False: only if it is in use."""
        ...

    def stages_before(self, at: datetime) -> list[StagedRows]:
        """Return the stages that nothing was written to since `at`."""
        ...

    def drop_stage(self, stage: StagedRows) -> None:
        """Remove a stage's rows. One that is gone is fine."""
        ...


class Warehouse(Tables, Routines, Protocol):
    """Both roles: what an installation has one of."""
