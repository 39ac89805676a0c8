"""Datasets and tables: BigQuery schema files become DuckDB schemas and tables, and grow new columns."""

from __future__ import annotations

from collections.abc import Container

from convergence.adapters.googlesql.types import SqlType, column_type, described
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.types import declaration, duckdb_type, from_stored
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.adapters.warehouse_checks import current_parts, refuse_other_case
from convergence.domain.sql_names import checked
from convergence.errors import SchemaMismatch
from convergence.ports.column_values import type_name
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, TableSchema


def ensure_dataset(job: Job, dataset: str) -> None:
    """Create the dataset unless it exists."""
    job.execute(statement("create_dataset", dataset=duckdb_name(checked(dataset, "dataset"))))


def ensure_table(job: Job, dataset: str, table: TableSchema) -> None:
    """Create the table, or add its new columns and relax what is no longer REQUIRED, in one transaction.

    Raises:
        SchemaMismatch: a column's type differs from the table's, or a new one is REQUIRED.
    """
    checked(table.name, "table")
    with job.transaction():
        ensure_dataset(job, dataset)
        found = stored_columns(job, dataset, table.name)
        if found:
            _add_columns(job, dataset, table, found)
            _relax(job, dataset, table)
        else:
            columns = ", ".join(_definition(column) for column in table.columns)
            job.execute(statement("create_table", table=duckdb_name(dataset, table.name), columns=columns))
        _describe(job, dataset, table, known=found)
    with job.transaction():
        for name in table.also_named:
            if stored_columns(job, dataset, name) != stored_columns(job, dataset, table.name):
                view = duckdb_name(dataset, checked(name, "table"))
                job.execute(statement("whole_view", view=view, table=duckdb_name(dataset, table.name)))
    if table.reads is not None:
        ensure_table(job, dataset, table.reads)
        with job.transaction():
            _ensure_view(job, dataset, table, table.reads)


def _describe(job: Job, dataset: str, table: TableSchema, *, known: Container[str]) -> None:
    """Store the bounds of columns that were made just now, and their descriptions where they come from the data."""
    for column in table.columns:
        kind = SqlType(type_name(column), bounds=column.bounds)
        comment = declaration(kind, column.description if table.inferred else "")
        if comment and column.name not in known:
            words = {"table": duckdb_name(dataset, table.name), "column": duckdb_name(column.name)}
            job.execute(statement("describe_column", **words, text=quoted(comment)))


def _ensure_view(job: Job, dataset: str, table: TableSchema, reads: TableSchema) -> None:
    """Create the view of the rows that were read last; anew when the table has got new columns, or when the view is of
    a release that did not note reads."""
    view = f"{table.name}_current"
    found = job.execute(statement("view_of"), {"dataset": dataset, "view": view}).fetchone()
    if (
        found
        and reads.name in found[0]
        and stored_columns(job, dataset, view) == stored_columns(job, dataset, table.name)
    ):
        return
    parts = ", ".join(map(duckdb_name, current_parts(table)))
    names = {"view": duckdb_name(dataset, view), "table": duckdb_name(dataset, table.name)}
    job.execute(statement("current_view", **names, reads=duckdb_name(dataset, reads.name), parts=parts))


def stored_columns(job: Job, dataset: str, table: str) -> dict[str, str]:
    """Return DuckDB's type of each column, in the table's order; empty when the table does not exist."""
    rows = job.execute(statement("columns"), {"dataset": dataset, "table": table}).fetchall()
    return dict(rows)


def columns_of(job: Job, dataset: str, table: str) -> tuple[Column, ...]:
    """Return the columns of a table with what is stored of them; none when the table does not exist."""
    rows = job.execute(statement("described_columns"), {"dataset": dataset, "table": table}).fetchall()
    return tuple(
        described(name, stored, required=required, description=description)
        for name, kind, required, text in rows
        for stored, description in (from_stored(kind, text),)
    )


def names_of_columns(job: Job, dataset: str) -> dict[str, tuple[str, ...]]:
    """Return the names of the columns of each table and view of a dataset."""
    rows = job.execute(statement("column_names"), {"dataset": dataset}).fetchall()
    return {table: tuple(names) for table, names in rows}


def _add_columns(job: Job, dataset: str, table: TableSchema, found: dict[str, str]) -> None:
    refuse_other_case(dataset, table, found)
    for column in table.columns:
        expected = duckdb_type(column_type(column))
        stored = found.get(column.name)
        if stored is None:
            if column.mode == "REQUIRED" and column.name not in LINEAGE_COLUMNS:
                raise SchemaMismatch(
                    f"{dataset}.{table.name}: the new column {column.name!r} is REQUIRED, but the table has rows"
                    " already. Make it NULLABLE."
                )
            words = {"table": duckdb_name(dataset, table.name), "column": duckdb_name(checked(column.name, "column"))}
            job.execute(statement("add_column", **words, type=expected))
        elif _plain(stored) != _plain(expected):
            raise SchemaMismatch(
                f"{dataset}.{table.name}: column {column.name!r} is {column_type(column)} in the schema file,"
                f" but {stored} in the table. Add a new column for the new type."
            )


def _relax(job: Job, dataset: str, table: TableSchema) -> None:
    names = {"dataset": dataset, "table": table.name}
    required = {name for (name,) in job.execute(statement("required_columns"), names).fetchall()}
    for column in table.columns:
        if column.mode != "REQUIRED" and column.name in required:
            words = {"table": duckdb_name(dataset, table.name), "column": duckdb_name(checked(column.name, "column"))}
            job.execute(statement("relax_column", **words))


def _definition(column: Column) -> str:
    required = column.mode == "REQUIRED" and column.name not in LINEAGE_COLUMNS  # procedures get theirs filled
    name = duckdb_name(checked(column.name, "column"))
    return f"{name} {duckdb_type(column_type(column))}{' NOT NULL' if required else ''}"


def _plain(duckdb_type: str) -> str:
    return duckdb_type.replace('"', "").replace(" ", "").upper()
