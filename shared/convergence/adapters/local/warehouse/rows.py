"""Staged JSON as typed rows: one select list for a table's columns, lineage left out."""

from __future__ import annotations

from typing import Final

from convergence.adapters.googlesql.types import SqlType, column_type
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.domain.sql_names import checked, duckdb_name
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, TableSchema

# Read as text and cast: a JSON number would pass through a float, and 1.5 would become the integer 2.
_AS_TEXT: Final = frozenset({"INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "BYTES"})


def staged_columns(table: TableSchema) -> list[Column]:
    """Return the columns that come from the rows: all but the lineage."""
    return [column for column in table.columns if column.name not in LINEAGE_COLUMNS]


def rows_of_files(table: TableSchema, files: list[str], columns: list[Column] | None = None) -> str:
    """Return the query that reads JSON files as typed rows; it fails on the first value that does not fit.

    `columns` are those to read, the staged ones unless said.
    """
    columns = staged_columns(table) if columns is None else columns
    read = ", ".join(
        f"{quoted(checked(each.name, 'column'))}: {quoted(_read_type(column_type(each)))}" for each in columns
    )
    if len(columns) == 1:  # of one column alone DuckDB 2.0 opens every file at once, 32 MiB each
        read += ", 'x_none': 'VARCHAR'"
    select = ", ".join(f"{_value(each)} AS {duckdb_name(each.name)}" for each in columns)
    return statement("json_rows", select=select, columns="{" + read + "}", files=listed(files))


def listed(files: list[str]) -> str:
    """Return file names as a SQL list."""
    return "[" + ", ".join(quoted(file) for file in files) + "]"


def _read_type(kind: SqlType) -> str:
    if kind.name == "ARRAY":
        return _read_type(kind.element) + "[]"
    if kind.name == "STRUCT":
        return (
            "STRUCT("
            + ", ".join(f"{duckdb_name(checked(name))} {_read_type(field)}" for name, field in kind.fields)
            + ")"
        )
    return "VARCHAR" if kind.name in _AS_TEXT else kind.duckdb


def _value(column: Column) -> str:
    kind, name = column_type(column), duckdb_name(column.name)
    if kind.name == "INT64":
        whole = f"NOT contains({name}, '.') OR ends_with({name}, '.0')"
        return f"CASE WHEN {name} IS NULL OR {whole} THEN CAST({name} AS BIGINT) ELSE error('no integer') END"
    if kind.name == "BYTES":
        return f"from_base64({name})"
    if kind.name == "ARRAY":
        return f"COALESCE(CAST({name} AS {kind.duckdb}), [])"  # BigQuery stores no NULL array
    return name if _read_type(kind) == kind.duckdb else f"CAST({name} AS {kind.duckdb})"
