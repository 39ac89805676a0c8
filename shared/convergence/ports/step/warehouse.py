"""The warehouse as a processor sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from convergence.ports.warehouse import (
    Column,
    LoadResult,
    Parameter,
    QueryResult,
    Row,
    RowFile,
    StagedFile,
    TableSchema,
    WriteMode,
)


class StepStage(Protocol):
    """Staged rows of one step for one table, which `schema` describes."""

    table: str
    schema: TableSchema

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Store a batch as part `part` (from 0 in each execution); writing a part again replaces it."""
        ...

    async def write_file(self, part: int, file: RowFile) -> StagedFile:
        """Store the rows of a file as part `part`; the file is taken. See `convergence.ports.warehouse.Stage`."""
        ...

    async def file_columns(self, file: RowFile) -> tuple[Column, ...]:
        """Return the columns of a Parquet file. See `convergence.ports.warehouse.Stage`."""
        ...

    async def flush(self) -> None:
        """Return when what was staged survives a crash."""
        ...


class StepWarehouse(Protocol):
    """The warehouse as one step sees it: its org's dataset, its lineage, its deterministic job ids.

    Every write first checks that the step still holds its lease. Writes are sent one after the other. A step that is
    repeated must write the same in the same order: `append`, statements and calls are counted, and one that took effect
    before is not sent again, not even by a replay. `repeatable` marks a write that may be sent again: sent twice it
    leaves the same rows, as loads that overwrite or merge always do. When the input has changed since, a write that is
    not repeatable raises `AppliedBefore`: the caller of the replay decides.
    """

    dataset: str

    def schema(self, table: str) -> TableSchema | None:
        """Return the schema that the file of this name describes; None without a file."""
        ...

    async def columns(self, table: str) -> tuple[Column, ...]:
        """Return the columns that the table has in the warehouse; none when there is no such table."""
        ...

    async def ensure_table(self, table: str | TableSchema) -> None:
        """Create `table` (a schema file's name, or a schema), or add its new columns: for tables that a procedure
        writes. Raises `SchemaMismatch` when a column has another type."""
        ...

    def stage(self, table: str | TableSchema) -> StepStage:
        """Return this execution's stage for `table` (a schema file's name, or a schema).

        Parts staged before a CONTINUE are kept: `load` takes them first. Parts of an execution that died or failed are
        dropped. When a schema has gained columns, request the stage again after a `flush`: it is the same one, with its
        parts.
        """
        ...

    async def load(
        self,
        stage: StepStage,
        *,
        dates: Sequence[date] | None,
        date_field: str | None = None,
        mode: WriteMode = WriteMode.OVERWRITE,
        key_fields: Sequence[str] = (),
        repeatable: bool = False,
        source: Mapping[str, str] | None = None,
    ) -> LoadResult:
        """Make the staged rows visible; see `convergence.ports.warehouse.Load` for dates, modes and `source`."""
        ...

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        rows_max: int = 10_000,
        bytes_max: int | None = None,
        dry_run: bool = False,
        write: bool = False,
        wait_s: float | None = None,
        repeatable: bool = False,
    ) -> QueryResult:
        """Read from the org's dataset; with `write` change it: once, however often the step is repeated.

        With `wait_s` the statement runs as a job that continues when the wait is over: `StillRunning`. A resumable
        processor then answers CONTINUE with the checkpoint that it has, and the same call waits for the same job.
        """
        ...

    async def call(
        self,
        procedure: str,
        arguments: Mapping[str, Parameter],
        *,
        wait_s: float | None = None,
        repeatable: bool = False,
    ) -> QueryResult:
        """Call a stored procedure on the org's dataset; once, however often the step is repeated. `wait_s` as above."""
        ...

    async def snapshot(self, tables: Sequence[str], *, suffix: str, until: datetime) -> Sequence[str] | None:
        """Keep these tables (without any: all) as `{table}{suffix}`, read-only, until `until`; return their names.

        None if the warehouse does not support snapshots, like the embedded one; see
        `convergence.ports.warehouse.TableSnapshots`.
        """
        ...
