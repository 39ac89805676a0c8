"""Staged JSON as typed rows: one select list for a table's columns, lineage left out.

The SQL converts and refuses as `ports.column_values.convert` does; a property test compares the two.
"""

from __future__ import annotations

from typing import Final

from convergence.adapters.googlesql.types import SqlType, column_type
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.types import BIGNUMERIC, NUMERIC, duckdb_type
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.domain.sql_names import checked
from convergence.ports.column_values import BASE64, CLOCK, MOMENT, WHOLE, type_name
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, TableSchema

# All else is read as text, and cast where the text is what the type takes: by itself DuckDB reads a JSON number through
# a float, and takes 1.5 for the integer 2, 1_000 for a number, 'yes' for true and `2026/1/5` for a date.
_AS_IT_IS: Final = frozenset({"STRING", "JSON", "INTERVAL"})


def staged_columns(table: TableSchema) -> list[Column]:
    """Return the columns that come from the rows: all but the lineage."""
    return [column for column in table.columns if column.name not in LINEAGE_COLUMNS]


def rows_of_files(table: TableSchema, files: list[str], columns: list[Column] | None = None) -> str:
    """Return the query that reads JSON files as typed rows; it fails on the first value that does not fit.

    `columns` are those to read, by default the staged ones.
    """
    columns = staged_columns(table) if columns is None else columns
    read = ", ".join(
        f"{quoted(checked(each.name, 'column'))}: {quoted(_read_type(column_type(each)))}" for each in columns
    )
    if len(columns) == 1:  # when it reads one column alone, DuckDB 2.0 opens every file at once, 32 MiB each
        read += ", 'x_none': 'VARCHAR'"
    quoted_names = [duckdb_name(each.name) for each in columns]
    select = ", ".join(f"{_value(each, name)} AS {name}" for each, name in zip(columns, quoted_names, strict=True))
    return statement("json_rows", select=select, columns="{" + read + "}", files=listed(files))


def listed(files: list[str]) -> str:
    """Return file names as a SQL list."""
    return "[" + ", ".join(quoted(file) for file in files) + "]"


def _read_type(kind: SqlType) -> str:
    if kind.name == "ARRAY":
        return _read_type(kind.element) + "[]"
    if kind.name == "STRUCT":
        fields = ", ".join(f"{duckdb_name(checked(name))} {_read_type(field)}" for name, field in kind.fields)
        return f"STRUCT({fields})"
    if kind.name == "BYTES":
        return "JSON"  # distinguishes a text from a number whose digits are base64 too
    return duckdb_type(kind) if kind.name in _AS_IT_IS else "VARCHAR"


def _value(column: Column, text: str, depth: int = 0) -> str:
    """Return the SQL that converts what was read, whose SQL is `text`, to a column's value."""
    if column.mode == "REPEATED":
        item = f"item{depth}"
        each = f"list_transform({text}, lambda {item}: {_single(column, item, depth + 1)})"
        # BigQuery stores no NULL array, and takes no NULL into one.
        full = f"WHEN len({text}) = list_count({text}) THEN {each} ELSE error('a NULL in a list')"
        return f"CASE WHEN {text} IS NULL THEN [] {full} END"
    return _single(column, text, depth)


def _single(column: Column, text: str, depth: int) -> str:
    name = type_name(column)
    if name in _AS_IT_IS:
        return text
    if name == "STRUCT":
        fields = ", ".join(f"{duckdb_name(each.name)} := {_field(each, text, depth)}" for each in column.fields)
        return f"CASE WHEN {text} IS NULL THEN NULL ELSE struct_pack({fields}) END"
    cases = " ".join(f"WHEN {test} THEN {value}" for test, value in CASES[name])
    cases = cases.replace("$x", text)
    return f"CASE WHEN {text} IS NULL THEN NULL {cases} ELSE error('not {name}') END"


def _field(column: Column, struct: str, depth: int) -> str:
    value = _value(column, f"struct_extract({struct}, {quoted(checked(column.name))})", depth)
    if column.mode != "REQUIRED":
        return value
    return f"CASE WHEN ({value}) IS NULL THEN error('no value') ELSE {value} END"


def _matches(pattern: str) -> str:
    return f"regexp_full_match($x, {quoted(pattern)})"


# DuckDB takes 1_000 for a number, and 0e99999 for zero; everything else that it accepts is a number.
_HUGE_POWER: Final = "regexp_matches($x, '[eE][+-]?[0-9]{5}')"
_IS_NUMBER: Final = f"NOT contains($x, '_') AND NOT (contains(lower($x), 'e') AND {_HUGE_POWER})"


_POWER: Final = r"\s*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]{1,4}\s*"
_MANTISSA: Final = "ltrim(trim(split_part(lower($x), 'e', 1)), '+-')"
_DIGITS: Final = f"replace({_MANTISSA}, '.', '')"
# How many of the digits are before the point once the power is applied.
_BEFORE_POINT: Final = (
    f"(length(split_part({_MANTISSA}, '.', 1)) + CAST(trim(split_part(lower($x), 'e', 2)) AS INTEGER))"
)
_WITHOUT_POWER: Final = (
    f"CASE WHEN trim($x)[1] = '-' THEN '-' ELSE '' END || CASE"
    f" WHEN {_BEFORE_POINT} <= 0 THEN '0.' || repeat('0', -{_BEFORE_POINT}) || {_DIGITS}"
    f" WHEN {_BEFORE_POINT} >= length({_DIGITS}) THEN {_DIGITS} || repeat('0', {_BEFORE_POINT} - length({_DIGITS}))"
    f" ELSE {_DIGITS}[:{_BEFORE_POINT}] || '.' || {_DIGITS}[{_BEFORE_POINT} + 1:] END"
)


def _exact(duckdb: str) -> tuple[tuple[str, str], ...]:
    """DuckDB refuses a number that fits only once its power is applied, such as 30 digits and E-3."""
    plain = "NOT contains($x, '_') AND NOT contains(lower($x), 'e')"
    return (
        (plain, f"CAST($x AS {duckdb})"),
        (f"regexp_full_match($x, {quoted(_POWER)})", f"CAST({_WITHOUT_POWER} AS {duckdb})"),
    )


_TEXT: Final = "json_extract_string($x, '$')"
_DECIMAL: Final = "CAST($x AS DECIMAL(38,18))"
_INSTANT: Final = "CAST(replace(upper($x), ' UTC', 'Z') AS TIMESTAMPTZ)"
YEARS: Final = "TIMESTAMPTZ '0001-01-01 00:00:00Z' AND TIMESTAMPTZ '9999-12-31 23:59:59.999999Z'"
_IN_RANGE: Final = f"{_matches(MOMENT)} AND {_INSTANT} BETWEEN {YEARS}"
_UTC: Final = f"({_INSTANT} AT TIME ZONE 'UTC')"
# Type → cases of (whether a string is of this form, its value); the first is the quick one for the usual form.
CASES: Final = {
    "INT64": (
        ("CAST(TRY_CAST($x AS BIGINT) AS VARCHAR) = $x", "CAST($x AS BIGINT)"),
        (f"{_matches(WHOLE)} AND {_DECIMAL} = trunc({_DECIMAL})", f"CAST({_DECIMAL} AS BIGINT)"),
    ),
    "NUMERIC": _exact(NUMERIC),
    "BIGNUMERIC": _exact(BIGNUMERIC),
    "FLOAT64": ((f"{_IS_NUMBER} AND isfinite(CAST($x AS DOUBLE))", "CAST($x AS DOUBLE)"),),
    "BOOL": (("lower($x) = 'true'", "true"), ("lower($x) = 'false'", "false")),
    "DATE": (
        ("length($x) = 10 AND CAST(TRY_CAST($x AS DATE) AS VARCHAR) = $x", "CAST($x AS DATE)"),
        (_IN_RANGE, f"CAST({_UTC} AS DATE)"),
    ),
    "DATETIME": ((_IN_RANGE, _UTC),),
    "TIMESTAMP": ((_IN_RANGE, _INSTANT),),
    "TIME": ((_matches(CLOCK), "CAST($x AS TIME)"),),
    "BYTES": ((f"json_type($x) = 'VARCHAR' AND {_matches(BASE64).replace('$x', _TEXT)}", f"from_base64({_TEXT})"),),
}  # fmt: skip
