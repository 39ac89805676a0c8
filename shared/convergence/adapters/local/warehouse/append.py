"""Appends rows of a log to a table: without a slice or lineage of its own, and without replacing rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from convergence.adapters.googlesql.fitting import as_json, misfit
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.adapters.local.warehouse.rows import rows_of_files
from convergence.errors import SchemaMismatch, did_you_mean
from convergence.ports.warehouse import Row, TableSchema


def spool_rows(folder: Path, table: TableSchema, rows: Sequence[Row], name: str) -> Path:
    """Write the rows where the database may read them; return the file.

    Raises:
        SchemaMismatch: a row does not fit, with row (from 1) and column.
    """
    kinds = {column.name: column for column in table.columns}
    data = orjson.loads(orjson.dumps(rows, default=as_json, option=orjson.OPT_UTC_Z))
    for number, (row, given) in enumerate(zip(data, rows, strict=True), 1):
        for column in given:
            if column not in kinds:
                advice = did_you_mean(column, kinds)
                raise SchemaMismatch(f"{table.name}: row {number}: the table has no column {column!r}.{advice}")
        for column, described in kinds.items():
            problem = misfit(described, row.get(column))
            if problem is not None:
                raise SchemaMismatch(f"{table.name}: row {number}: column {column!r} {problem}.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"append-{name}.json"
    path.write_bytes(orjson.dumps(data))
    return path


def append_rows(job: Job, dataset: str, table: TableSchema, file: Path) -> None:
    """Insert the spooled rows in one statement, and remove the file."""
    source = rows_of_files(table, [str(file)], columns=list(table.columns))
    into = duckdb_name(dataset, table.name)
    try:
        job.execute(statement("insert", table=into, select="*", source=source))
    finally:
        file.unlink(missing_ok=True)
