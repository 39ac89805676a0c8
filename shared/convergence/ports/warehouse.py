"""Tables, slices and SQL. The dialect is GoogleSQL on every adapter.

Rows first land in a `Stage`, invisible to readers; `load` makes them visible in one transaction. The seven
lineage columns (`LINEAGE_COLUMNS`) are added by the warehouse, never by a processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Protocol

SHARED_DATASET: Final = "organizations"  # procedures, and the log tables of all orgs
LINEAGE_COLUMNS: Final = (
    "x_org_slug",
    "x_pipeline_id",
    "x_credential_id",
    "x_pipeline_run_date",
    "x_run_id",
    "x_ingested_at",
    "x_ingestion_date",
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as in a BigQuery schema file: GoogleSQL type, mode NULLABLE, REQUIRED or REPEATED."""

    name: str
    type: str
    mode: str = "NULLABLE"
    description: str = ""
    fields: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table as its schema file describes it. Lineage columns are included once the file is loaded."""

    name: str
    columns: tuple[Column, ...]
    description: str = ""
    partition_by: str | None = "x_ingestion_date"
    cluster_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Who wrote a row. `credential_id` is empty when no credential was used."""

    org_slug: str
    pipeline_id: str
    credential_id: str
    run_id: str
    ingested_at: datetime


class WriteMode(StrEnum):
    """What happens to the rows that the slice holds already."""

    OVERWRITE = "overwrite"  # they go; the slice is exactly the staged rows
    MERGE = "merge"  # those with the same key fields go, others stay
    APPEND = "append"  # all stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One write: which slices of which table, under which job id.

    A slice is (x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date). Every date of `dates` is a slice
    of its own, also one without rows. `date_field` names the column with a row's data date (DATE, or a
    TIMESTAMP taken in UTC); None when `dates` has one entry. `dates=None` is for reference tables: the slice
    is (org, pipeline, credential) over all dates, and rows carry the date of ingestion.
    """

    job_id: str
    dataset: str
    table: TableSchema
    lineage: Lineage
    dates: tuple[date, ...] | None
    date_field: str | None = None
    mode: WriteMode = WriteMode.OVERWRITE
    key_fields: tuple[str, ...] = ()
    fingerprint: str = ""  # see `Warehouse`


@dataclass(frozen=True, slots=True)
class Effect:
    """A write that took effect: the `fingerprint` it was sent with (empty: by an older version), when it did, and how
    many rows it wrote (None where the warehouse does not know)."""

    fingerprint: str
    at: datetime
    rows: int | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`repeated`: the job id was known, nothing was written, the figures are those of the first time."""

    rows_loaded: int
    rows_removed: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows as Python values (Decimal, date, datetime with zone, str, int, float, bool, None, list, dict)."""

    columns: tuple[str, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)
    rows_affected: int = 0
    bytes_processed: int | None = None
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter with its GoogleSQL type, for example `DATE`, `NUMERIC`, `ARRAY<STRING>`."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a statement may touch. Names without a dataset mean `dataset`.

    A statement that names any other dataset than `dataset` or one of `readable` is `Denied`.
    """

    dataset: str
    readable: tuple[str, ...] = ()
    writable: bool = False
    lineage: Lineage | None = None  # who asks; set for writes, whose rows are filled with it or refused


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Where the jobs of an org run and who pays for them; None means the installation's own.

    `reservation`: projects/{p}/locations/{l}/reservations/{r}.
    """

    project: str | None = None
    reservation: str | None = None
    priority: str | None = None


@dataclass(frozen=True, slots=True)
class Routine:
    """A stored procedure: `name` without dataset, the digest of its source, its file."""

    name: str
    digest: str
    source: str
    definition: str = ""


class Stage(Protocol):
    """Rows that are not visible yet. Survives a crash: a stage of the same name holds the parts written before `flush`.

    The engine gives each execution of a step a stage of its own, so that one which lost its lease can never mix
    its rows into the next one's; a step that went on in slices loads the stages of all its slices together.
    """

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Store rows as part `part` (from 0); writing a part again replaces it.

        Values: JSON values, Decimal, date, datetime with zone.

        Raises:
            SchemaMismatch: a column that the table does not have, or a number that is NaN or infinite: row and column.
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


class Warehouse(Protocol):
    """All methods raise `Transient` when the warehouse cannot be reached or is busy.

    A write with a `job_id` (`load`, `query`, `call`) happens once: sent again it answers as the first time. Its
    `fingerprint`, up to 63 of a-z, 0-9 and `-`, identifies its content, and is stored with it. Every such write raises

        AppliedBefore: the job took effect with another `fingerprint`; nothing was written.
        LeaseLost: `close_job` came first, so the job will never take effect.
    """

    async def ensure_dataset(self, dataset: str) -> None:
        """Create the dataset unless it exists."""
        ...

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        """Create the table, or add its new columns. Raises `SchemaMismatch` when a type changed."""
        ...

    def stage(self, dataset: str, table: TableSchema, name: str) -> Stage:
        """Return the stage `name`: letters, digits and underscores, unique per run, step and epoch."""
        ...

    async def load(self, load: Load, *stages: Stage) -> LoadResult:
        """Make the rows of all `stages` visible and drop these, in one transaction recorded under `load.job_id`.

        A job id that is known changes nothing and answers `repeated`.

        Raises:
            SchemaMismatch: names column, row (from 1, in staging order) and value type; nothing was changed.
        """
        ...

    async def append(self, dataset: str, table: TableSchema, rows: Sequence[Row], *, ids: Sequence[str]) -> None:
        """Add rows that are never replaced, such as a log's, one id each; the table is created if it is missing.

        At least once: rows whose ids came before are left out where the warehouse still knows them, so a repeat may
        show twice. Unlike `load` it adds no lineage: a row brings the columns it has, lineage columns included.

        Raises:
            InvalidInput: the numbers of ids and rows differ.
            SchemaMismatch: a row does not fit: row (from 1) and column. Rows before it may have been added.
        """
        ...

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
        wait_s: float | None = None,
        fingerprint: str = "",
    ) -> QueryResult:
        """Run one GoogleSQL statement. With a `job_id` a write happens once, however often it is sent.

        `wait_s` needs a `job_id`: a statement that runs longer goes on, and asking again with the same arguments waits
        for it again. So a step may answer CONTINUE instead of waiting. None waits to the end.

        Raises:
            StepFailed: the statement is wrong (the message has the nearest names) or over `bytes_max`.
            Denied: it touches a dataset outside `scope`.
            StillRunning: it did not end within `wait_s`.
        """
        ...

    async def call(
        self,
        procedure: str,
        arguments: Mapping[str, Parameter],
        *,
        scope: Scope,
        job_id: str,
        dry_run: bool = False,
        wait_s: float | None = None,
        fingerprint: str = "",
    ) -> QueryResult:
        """Call a stored procedure in one transaction, once per `job_id`; return its last SELECT.

        `rows_affected` counts inserted and updated rows, not deleted ones. Rows of the run without full lineage are
        filled from `scope.lineage`; rows that contradict it are refused and nothing is written. A dry run resolves
        names and types and says which tables are touched and about how many bytes are read; SQL made at run time is
        not seen. `wait_s` and `StillRunning` are those of `query`.
        """
        ...

    async def close_job(self, job_id: str, *, scope: Scope, wait_s: float | None = None) -> Effect | None:
        """Revoke the job unless it took effect, and return what it did; `scope` is the one it was sent with.

        A job that is running is waited for. Afterwards its outcome is final. None means that it never took
        effect and never will: a late sender gets `LeaseLost`. Otherwise sending it again, with the same
        `fingerprint`, answers as the first time.

        Raises:
            StillRunning: the job did not end within `wait_s`; it goes on, and nothing is revoked.
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
