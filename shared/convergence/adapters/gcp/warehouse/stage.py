"""Rows on their way into a table: in memory as long as they are few, else in a staging table that expires.

BigQuery takes 100,000 load jobs a day from a project and 1,500 for a table ("Quotas and limits"); ten thousand tenants
share the first, so a job for every batch of 1,000 rows would be too many. Parts therefore wait in memory as JSON lines
until they reach 16 MiB or a flush is requested: the engine before it commits a checkpoint, `load` before it reads.
A step costs one load job, and one more for each further 16 MiB and each slice; few rows cost none
(`row_parameters.py`).

A staged row carries its part and place. A part that is written again first loses its stored self (one DELETE).
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.gcp.warehouse.client import UPLOAD_TIMEOUT_S
from convergence.adapters.gcp.warehouse.fields import schema_field
from convergence.adapters.gcp.warehouse.file_rows import FileRows
from convergence.adapters.gcp.warehouse.jobs import Jobs
from convergence.adapters.gcp.warehouse.row_parameters import PARAMETER_BYTES, RowsParameter, rows_parameter
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.gcp.warehouse.values import json_value
from convergence.adapters.gcp.warehouse.waiting import AnyJob
from convergence.adapters.googlesql.fitting import misfit, unreal_number
from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.parquet.columns import columns_of
from convergence.domain.sql_names import bigquery_name, checked
from convergence.errors import SchemaMismatch, did_you_mean
from convergence.ports.column_values import type_name, unknown_field
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, Row, RowFile, StagedFile, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

STAGING: Final = "convergence_staging"  # the dataset of all staging tables
PART, PLACE = "x_part", "x_place"
FLUSH_BYTES: Final = 16 * 2**20
_LIVE: Final = timedelta(hours=24)  # of a staging table; what a dead execution left behind expires


class BigQueryStage:
    """A staging table; `name` is unique for each execution, so only one process writes to it at a time."""

    def __init__(
        self, jobs: Jobs, tables: Tables, labels: Mapping[str, str], dataset: str, table: TableSchema, name: str
    ) -> None:
        checked(f"{dataset}__{table.name}__{name}", "stage")
        self.table = table
        self._where = f"{dataset}.{table.name}.{name}"
        digest = hashlib.blake2b(self._where.encode(), digest_size=16).hexdigest()
        self.staged_in = f"{table.name[:200]}__{digest}"
        self._jobs, self._tables, self._labels = jobs, tables, dict(labels)
        self._columns = {column.name: column for column in table.columns if column.name not in LINEAGE_COLUMNS}
        self._structs = {name for name, column in self._columns.items() if type_name(column) == "STRUCT"}
        self._required = [name for name, column in self._columns.items() if column.mode == "REQUIRED"]
        self._rows: dict[int, int] | None = None  # part → rows, of all parts; None: not read yet
        self._waiting: dict[int, list[bytes]] = {}
        self.waiting_bytes = 0
        self._stored: set[int] = set()  # parts in the staging table
        self._made = True  # the staging table, as far as is known
        self._stale: set[int] = set()  # of those, what was written again or dropped

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Keep rows as part `part` until the next flush; see the port.

        Raises:
            SchemaMismatch: a row has a column that the table does not have, or a value that does not fit: row and
            column.
        """
        known = await self._known()
        first = 1 + sum(count for earlier, count in known.items() if earlier < part)
        lines = [self._line(part, place, row, first + place) for place, row in enumerate(rows)]
        self._forget(part)
        known[part] = len(rows)
        if lines:
            self._waiting[part] = lines
            self.waiting_bytes += sum(map(len, lines))
        if self.waiting_bytes >= FLUSH_BYTES:
            await self.flush()

    async def write_file(self, part: int, file: RowFile) -> StagedFile:
        """Store the rows of a file as part `part`; see the port."""
        known = await self._known()
        self._forget(part)
        known.pop(part, None)
        await self.flush()
        await self._tables.ensure_dataset(STAGING, tables_live=_LIVE)
        await self._tables.ensure_plain(STAGING, self.staged_in, self._config().schema)
        self._made = True
        try:
            rows = FileRows(self._jobs, self._tables, self._labels, STAGING, f"{self.staged_in}_file")
            staged = await rows.stage(file, self.table, self.path, part, PART, PLACE)
        finally:
            file.path.unlink(missing_ok=True)
        if staged.rows:
            known[part] = staged.rows
            self._stored.add(part)
        return staged

    async def file_columns(self, file: RowFile) -> tuple[Column, ...]:
        """Return the columns of a Parquet file: see the port."""
        return await asyncio.to_thread(columns_of, file)

    async def flush(self) -> None:
        """Store what waits, in one load job. A staging table that an earlier schema made gets the further columns."""
        if self.table.inferred and (await self._known()):
            await self._tables.ensure_dataset(STAGING, tables_live=_LIVE)
            await self._tables.ensure_table(
                STAGING, TableSchema(self.staged_in, self._staged_columns(), partition_by=None)
            )
        if self._stale:
            sql = f"DELETE FROM {bigquery_name(self.path)} WHERE {PART} IN UNNEST(@parts)"
            await self._query(sql, parts=sorted(self._stale))
            self._stored -= self._stale
            self._stale = set()
        if not self._waiting:
            return
        await self._tables.ensure_dataset(STAGING, tables_live=_LIVE)
        sent = dict(self._waiting)
        data = b"\n".join(self._lines())
        self._made = True
        job_id = self._jobs.client.ids.new("stage")  # the same for all repetitions of this one upload

        def begin(client: bigquery.Client, name: str) -> AnyJob:
            return client.load_table_from_file(
                io.BytesIO(data),
                self.path,
                size=len(data),
                job_id=name,
                job_config=self._config(),
                num_retries=0,
                timeout=UPLOAD_TIMEOUT_S,
            )

        await self._jobs.run(job_id, begin, what=f"staging rows of {self._where}")
        self._stored |= sent.keys()
        for part in sent:
            self._waiting.pop(part, None)
        self.waiting_bytes = sum(len(line) for lines in self._waiting.values() for line in lines)

    async def discard(self, from_part: int = 0) -> None:
        """Drop this part and all later ones; all of them with the staging table."""
        if from_part == 0:
            if self._made:
                await self._tables.drop(STAGING, self.staged_in)
            self._rows, self._made, self._waiting, self.waiting_bytes = None, False, {}, 0
            self._stored, self._stale = set(), set()
            return
        known = await self._known()
        for part in [part for part in known if part >= from_part]:
            self._forget(part)
            del known[part]
        await self.flush()

    def as_parameter(self, name: str) -> RowsParameter | None:
        """Return all rows as a parameter of a statement; None when they are too many, or some are stored."""
        if self._stored or not self._waiting or self.waiting_bytes > PARAMETER_BYTES:
            return None
        return rows_parameter(name, self._staged_columns(), self._lines())

    async def is_empty(self) -> bool:
        """Return whether nothing was staged; call `flush` before."""
        await self._known()
        return not self._stored

    @property
    def path(self) -> str:
        """The staging table with project and dataset."""
        return f"{self._jobs.client.project}.{STAGING}.{self.staged_in}"

    def _lines(self) -> list[bytes]:
        return [line for part in sorted(self._waiting) for line in self._waiting[part]]

    def _forget(self, part: int) -> None:
        self.waiting_bytes -= sum(map(len, self._waiting.pop(part, ())))
        if part in self._stored:
            self._stale.add(part)

    def _line(self, part: int, place: int, row: Row, number: int) -> bytes:
        """Return a row as a JSON line, every value checked and typed."""
        found: dict[str, Any] = {PART: part, PLACE: place}
        for name in self._required:
            if row.get(name) is None:
                raise SchemaMismatch(f"{self.table.name}: row {number}: column {name!r} is REQUIRED, but has no value.")
        for name, value in row.items():
            if name not in self._columns:
                raise self._unknown_column(name, number)
            if value is None:
                continue
            strange = None if isinstance(value, str | int) else unreal_number(value)
            if strange is not None:
                raise SchemaMismatch(
                    f"{self.table.name}: row {number}: column {name!r} is {strange}, which is not a number:"
                    " leave the value out, or set it to null."
                )
            column = self._columns[name]
            if name in self._structs and (path := unknown_field(column, value)):
                raise SchemaMismatch(f"{self.table.name}: row {number}: the table has no field {path!r}.")
            try:
                found[name] = json_value(column, value)
            except ValueError as error:
                raise SchemaMismatch(
                    f"{self.table.name}: row {number}: column {name!r} {misfit(column, value)}."
                ) from error
        return orjson.dumps(found)

    def _unknown_column(self, name: str, number: int) -> SchemaMismatch:
        if name in LINEAGE_COLUMNS:
            advice = " The warehouse adds the lineage columns itself: leave them out."
        else:
            advice = did_you_mean(name, self._columns)
        return SchemaMismatch(f"{self.table.name}: row {number}: the table has no column {name!r}.{advice}")

    async def _known(self) -> dict[int, int]:
        """Return the rows of each part, reading once what an earlier process left."""
        if self._rows is None:
            self._rows = {}
            self._made = await self._tables.find(STAGING, self.staged_in) is not None
            if self._made:
                counted = await self._query(f"SELECT {PART}, COUNT(*) FROM {bigquery_name(self.path)} GROUP BY {PART}")
                self._rows = {int(part): int(count) for part, count in counted}
                self._stored = set(self._rows)
        return self._rows

    async def _query(self, sql: str, parts: Sequence[int] = ()) -> list[tuple[Any, ...]]:
        from google.cloud import bigquery

        parameters = [bigquery.ArrayQueryParameter("parts", "INT64", list(parts))] if parts else []
        config = bigquery.QueryJobConfig(query_parameters=parameters, labels=self._labels)
        ended = await self._jobs.query(self._jobs.client.ids.new("stage"), sql, config, what=f"staging {self._where}")
        _, rows = await self._jobs.rows(ended.job)
        return rows

    def _staged_columns(self) -> tuple[Column, ...]:
        own = (_staged(column) for column in self.table.columns if column.name not in LINEAGE_COLUMNS)
        return (Column(PART, "INT64"), Column(PLACE, "INT64"), *own)

    def _config(self) -> bigquery.LoadJobConfig:
        from google.cloud import bigquery

        return bigquery.LoadJobConfig(
            schema=[schema_field(column) for column in self._staged_columns()],
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            labels=self._labels,
        )


def _staged(column: Column) -> Column:
    """JSON is staged as text: a string in a load job may mean a JSON string or JSON's text."""
    mode = "REPEATED" if column.mode == "REPEATED" else "NULLABLE"
    kind = "STRING" if column.type.upper() == "JSON" else column.type
    return Column(column.name, kind, mode, fields=tuple(map(_staged, column.fields)))


def needs_parsing(kind: SqlType) -> bool:
    """Return whether a staged column is JSON as text, and has to be parsed on its way into the table."""
    return kind.name == "JSON"
