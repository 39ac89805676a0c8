"""A file of rows into a staging table: one load job brings it as text, one statement checks and types it.

The strings wait in a separate table beside the staging table, which is dropped when they are read, or after a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.gcp.warehouse.client import UPLOAD_TIMEOUT_S
from convergence.adapters.gcp.warehouse.file_select import LINE, FileSelect, is_lines, select_file, sources_of
from convergence.adapters.gcp.warehouse.jobs import Jobs
from convergence.adapters.gcp.warehouse.parquet_sources import parquet_sources
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.gcp.warehouse.waiting import AnyJob
from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.parquet.exact import read_exactly, refuse_finer_inside
from convergence.adapters.row_files import (
    csv_header,
    csv_records,
    is_pointer,
    keep_digits,
    pointers,
    problem_of,
    refuse,
    refuse_odd_json,
)
from convergence.domain.sql_names import bigquery_name
from convergence.errors import SchemaMismatch, StepFailed
from convergence.ports.warehouse import BadRow, FileFormat, RowFile, StagedFile, TableSchema
from convergence.ports.warehouse.files import CONTENT_MAX, DAYS_MAX

if TYPE_CHECKING:
    from google.cloud import bigquery

_STRING: Final = SqlType("STRING")


class FileRows:
    """Reads files into one staging table; `raw` is the name of the table beside it, `dataset` that of both."""

    def __init__(self, jobs: Jobs, tables: Tables, labels: Mapping[str, str], dataset: str, raw: str) -> None:
        self._jobs, self._tables, self._labels = jobs, tables, dict(labels)
        self._dataset, self._raw = dataset, raw
        self._path = f"{jobs.client.project}.{dataset}.{raw}"

    async def stage(
        self, file: RowFile, table: TableSchema, into: str, part: int, part_column: str, place: str
    ) -> StagedFile:
        """Add the rows that fit to the table `into`. Raises `SchemaMismatch` as the port says."""
        if file.path.stat().st_size == 0:
            return StagedFile((), 0)
        refuse_odd_json(file)
        keep_digits(file)
        footer = read_exactly(file) if file.format is FileFormat.PARQUET else None
        names = _names(file) if footer is None else tuple(field.name for field in footer.columns)
        await self._tables.drop(self._dataset, self._raw)
        try:
            await self._load(file, names)
            if footer is None:
                typed = [(source, _STRING) for source in sources_of(file, names)]
            else:
                loaded = await self._tables.columns(self._dataset, self._raw)
                typed = parquet_sources(footer.columns, loaded)
            read = select_file(file, table, names, typed)
            if footer is not None:
                refuse_finer_inside(file, footer, read.fed)
            bad = await self._bad_rows(read)
            refuse(file, bad, await self._count(read) if bad else 1)
            days = await self._insert(read, into, part, part_column, place)
            rows = await self._query(f"SELECT COUNT(*) FROM {bigquery_name(into)} WHERE {part_column} = {part}")
        finally:
            await self._tables.drop(self._dataset, self._raw)
        return StagedFile(read.fed.names, int(rows[0][0]), days, tuple(bad))

    async def _load(self, file: RowFile, names: Sequence[str]) -> None:
        config = load_config(file, names, self._labels)
        job_id = self._jobs.client.ids.new("file")

        def begin(client: bigquery.Client, name: str) -> AnyJob:
            with file.path.open("rb") as data:
                return client.load_table_from_file(
                    data, self._path, job_id=name, job_config=config, num_retries=0, timeout=UPLOAD_TIMEOUT_S
                )

        try:
            await self._jobs.run(job_id, begin, what=f"reading {file.name}")
        except StepFailed as error:
            raise SchemaMismatch(f"{file.name}: {error}") from error

    async def _bad_rows(self, read: FileSelect) -> list[BadRow]:
        tests = read.tests()
        sql = (
            f"SELECT [{', '.join(tests)}], {', '.join(read.all_texts)}"
            f" FROM {bigquery_name(self._path)} WHERE {read.inside()} AND ({' OR '.join(tests)})"
            f" LIMIT {read.file.bad_rows_max + 1}"
        )
        found = await self._query(sql)
        lines = _lines(read.file, len(read.fed.names), [row[1:] for row in found])
        bad = [_bad_row(read, row[0], row[1:], line) for row, line in zip(found, lines, strict=True)]
        return sorted(bad, key=lambda row: row.line)

    async def _count(self, read: FileSelect) -> int:
        fits = f"{read.inside()} AND NOT ({' OR '.join(read.tests())})"
        sql = f"SELECT COUNT(*) FROM {bigquery_name(self._path)} WHERE {fits}"
        return int((await self._query(sql))[0][0])

    async def _insert(self, read: FileSelect, into: str, part: int, part_column: str, place: str) -> tuple[date, ...]:
        pairs = {
            part_column: str(part),
            place: "ROW_NUMBER() OVER ()",
            **{column.name: value for column, value in zip(read.columns, read.values, strict=True)},
            **read.constants,
            **({read.file.rest: read.others} if read.file.rest else {}),
            **({read.file.whole: read.whole} if read.file.whole else {}),
            **({read.file.digest: read.digest} if read.file.digest else {}),
        }
        into_columns = ", ".join(map(bigquery_name, pairs))
        condition = f"NOT ({' OR '.join(read.tests())})" if read.tests() else "TRUE"
        await self._query(
            f"INSERT INTO {bigquery_name(into)} ({into_columns}) SELECT {', '.join(pairs.values())}"
            f" FROM {bigquery_name(self._path)} WHERE {read.inside()} AND {condition}"
        )
        if not read.file.day:
            return ()
        day = f"DATE({bigquery_name(read.file.day)})"
        days = await self._query(
            f"SELECT DISTINCT {day} AS day FROM {bigquery_name(into)} WHERE {part_column} = {part}"
            f" AND {day} IS NOT NULL ORDER BY day LIMIT {DAYS_MAX}"
        )
        return tuple(each for (each,) in days)

    async def _query(self, sql: str) -> list[tuple[Any, ...]]:
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(labels=self._labels)
        ended = await self._jobs.query(self._jobs.client.ids.new("file"), sql, config, what="reading a file of rows")
        _, rows = await self._jobs.rows(ended.job)
        return rows


def load_config(file: RowFile, names: Sequence[str], labels: Mapping[str, str]) -> bigquery.LoadJobConfig:
    """Return how a load job reads a file; all columns of CSV and NDJSON are texts."""
    from google.cloud import bigquery

    options: dict[str, Any] = {"write_disposition": bigquery.WriteDisposition.WRITE_TRUNCATE}
    if file.format is FileFormat.PARQUET:
        nested = bigquery.format_options.ParquetOptions()
        nested.enable_list_inference = True  # a list is an ARRAY, not a record of its parts in the file
        nested.map_target_type = "ARRAY_OF_STRUCT"  # the same of a map
        nested.enum_as_string = True  # not as BYTES
        return bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            autodetect=True,
            parquet_options=nested,
            decimal_target_types=["NUMERIC", "BIGNUMERIC"],
            labels=dict(labels),
            **options,
        )
    if is_lines(file):
        options |= {
            "source_format": bigquery.SourceFormat.CSV,
            "field_delimiter": "\x01",  # no JSON text has it
            "quote_character": "",
            "max_bad_records": 0,
        }
        fields = [bigquery.SchemaField(LINE, "STRING")]
    elif file.format is FileFormat.CSV:
        fields = [bigquery.SchemaField(f"c{place}", "STRING") for place in range(len(names))]
        options |= {
            "source_format": bigquery.SourceFormat.CSV,
            "skip_leading_rows": 1,
            "allow_quoted_newlines": True,
            "field_delimiter": file.delimiter,
            "max_bad_records": 0,
        }
    else:
        fields = [bigquery.SchemaField(name, "STRING") for name in names]
        options["source_format"] = bigquery.SourceFormat.NEWLINE_DELIMITED_JSON
    return bigquery.LoadJobConfig(schema=fields, labels=dict(labels), **options)


def _names(file: RowFile) -> tuple[str, ...]:
    if file.format is FileFormat.CSV:
        return csv_header(file)
    names: dict[str, None] = {}
    with file.path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                names |= dict.fromkeys(_keys(file, number, line))
    keys = sorted(name for name in names if not is_pointer(file, name))
    return (*keys, *pointers(file, keys))


def _keys(file: RowFile, number: int, line: bytes) -> Iterator[str]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise SchemaMismatch(f"{file.name}: line {number}: this is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise SchemaMismatch(f"{file.name}: line {number}: this is not a JSON object.")
    return iter(found)


def _bad_row(read: FileSelect, flags: Sequence[bool], texts: Sequence[str | None], line: int) -> BadRow:
    problems = {}
    for column, wrong in zip(read.columns, flags, strict=False):
        if wrong:
            came = texts[read.fed.sources[column.name]]
            problem = f"{problem_of(column, read.file, str(came))}: {str(came)[:60]!r}"
            problems[column.name] = "has no value" if came is None else problem
    homeless = zip(read.file.homeless.items(), flags[len(read.columns) :], strict=True)
    problems |= {name: problem for (name, problem), wrong in homeless if wrong}
    named = {name: text for name, text in zip(read.fed.names, texts, strict=True) if text is not None}
    return BadRow(0, line, problems, orjson.dumps(named).decode()[:CONTENT_MAX])


def _lines(file: RowFile, columns: int, rows: Sequence[Sequence[str | None]]) -> list[int]:
    """Return the line of each row, found by its values: BigQuery does not say where a row was. 0: not found."""
    positions: dict[tuple[str | None, ...], list[int]] = {tuple(row): [] for row in rows}
    if rows and file.format is FileFormat.CSV:
        for line, record in csv_records(file):
            key = tuple(None if value in file.nulls else value for value in record)
            if len(record) == columns and key in positions:
                positions[key].append(line)
    return [positions[tuple(row)].pop(0) if positions[tuple(row)] else 0 for row in rows]
