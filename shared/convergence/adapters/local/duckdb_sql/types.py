"""DuckDB's spelling of GoogleSQL types, both ways. No sqlglot here: loading rows must not pay for its import.

NUMERIC is DECIMAL(38,9), exactly BigQuery's range. BIGNUMERIC has 76 digits there and 38 here, 18 of them after
the point: what does not fit is an error, never a rounding of the integer part.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.ports.column_bounds import DECIMALS, whole_and_places, with_bounds

NUMERIC: Final = "DECIMAL(38,9)"
BIGNUMERIC: Final = "DECIMAL(38,18)"

WHOLE_HERE: Final = {"NUMERIC": 29, "BIGNUMERIC": 20}  # digits before the point

_DUCKDB: Final = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "BOOL": "BOOLEAN",
    "NUMERIC": NUMERIC,
    "BIGNUMERIC": BIGNUMERIC,
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "TIME": "TIME",
    "BYTES": "BLOB",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
}
_GOOGLESQL: Final = {duckdb: googlesql for googlesql, duckdb in _DUCKDB.items()} | {
    "HUGEINT": "INT64",
    "UBIGINT": "INT64",
    "INTEGER": "INT64",
    "UINTEGER": "INT64",
    "SMALLINT": "INT64",
    "USMALLINT": "INT64",
    "TINYINT": "INT64",
    "UTINYINT": "INT64",
    "FLOAT": "FLOAT64",
    "UUID": "STRING",
    '"NULL"': "INT64",
    "TIMESTAMP_NS": "DATETIME",
    "TIMESTAMPTZ_NS": "TIMESTAMP",
}
_DECLARED: Final = re.compile(r"(NUMERIC|BIGNUMERIC|STRING|BYTES)\(([0-9]+(?:, [0-9]+)?)\)(?:\n|\Z)")
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')


def duckdb_type(kind: SqlType) -> str:
    """Return the type as DuckDB writes it."""
    if kind.name == "ARRAY":
        return duckdb_type(kind.element) + "[]"
    if kind.name == "STRUCT":
        names = [name or f"_field_{number}" for number, (name, _) in enumerate(kind.fields, 1)]
        fields = zip(names, (field for _, field in kind.fields), strict=True)
        return "STRUCT(" + ", ".join(f"{duckdb_name(name)} {duckdb_type(field)}" for name, field in fields) + ")"
    return _DUCKDB[kind.name]


def from_duckdb(text: str) -> SqlType:
    """Parse a type as DuckDB prints it. A DECIMAL that is not one of ours is the FLOAT64 that its literal meant."""
    if text.endswith("[]"):
        return SqlType("ARRAY", (("", from_duckdb(text[:-2])),))
    if text.startswith("STRUCT("):
        return SqlType("STRUCT", tuple(_struct_field(part) for part in _split(text[len("STRUCT(") : -1])))
    if text.startswith("TUPLE("):
        return SqlType("STRUCT", tuple(("", from_duckdb(part)) for part in _split(text[len("TUPLE(") : -1])))
    if text.startswith("DECIMAL("):
        width, scale = (int(number) for number in text[len("DECIMAL(") : -1].split(","))
        if width < 38:
            return SqlType("FLOAT64")
        return SqlType("NUMERIC" if scale <= 9 else "BIGNUMERIC")
    return SqlType(_GOOGLESQL.get(text, "STRING"))


def from_stored(text: str, comment: str) -> tuple[SqlType, str]:
    """Return the type of a table's column with its bounds, and its description.

    DuckDB has no such types, so the first line of the column's comment declares them (`declaration`).
    """
    kind = from_duckdb(text)
    found = _DECLARED.match(comment)
    if found is None or found[1] != kind.name:
        return kind, comment
    bounds = tuple(int(number) for number in found[2].split(", "))
    return replace(kind, bounds=bounds), comment[found.end() :]


def declaration(kind: SqlType, description: str = "") -> str:
    """Return the comment of a column, from which `from_stored` reads its bounds; '' for none."""
    return "\n".join(part for part in (kind.declared if kind.bounds else "", description) if part)


def stored_value(value: str, column: str, name: str, bounds: tuple[int, ...]) -> str:
    """Return the SQL of a value as a column with bounds stores it: rounded, or an error that names the column."""
    shown = f"{column} {with_bounds(name, bounds)}".replace("'", "''")
    too_long = f"error('a value is too long for the column {shown}')"
    if name not in DECIMALS:
        length = "octet_length" if name == "BYTES" else "length"
        return f"CASE WHEN {length}({value}) > {bounds[0]} THEN {too_long} ELSE {value} END"
    whole, places = whole_and_places(bounds)
    rounded = f"CAST(round({value}, {places}) AS {_DUCKDB[name]})"
    limit = "false" if whole >= WHOLE_HERE[name] else f"abs({rounded}) >= {10**whole}"
    return f"CASE WHEN {limit} THEN {too_long} ELSE {rounded} END"


def struct_fields(text: str) -> list[tuple[str, str]]:
    """Return name and type of each field of a STRUCT as DuckDB prints it; of a MAP its key and value, without names."""
    if text.startswith("MAP("):
        return [("", part) for part in _split(text[len("MAP(") : -1])]
    return [_named(part) for part in _split(text[len("STRUCT(") : -1])]


def _struct_field(part: str) -> tuple[str, SqlType]:
    name, kind = _named(part)
    return name, from_duckdb(kind)


def _named(part: str) -> tuple[str, str]:
    quoted = _QUOTED.match(part)
    if quoted and not part.startswith('"NULL"'):
        return quoted[1].replace('""', '"'), part[quoted.end() :].strip()
    name, _, kind = part.partition(" ")
    return name, kind


def _split(text: str) -> list[str]:
    """Split at commas that no bracket and no quote encloses."""
    parts, depth, start, quoted = [], 0, 0, False
    for position, sign in enumerate(text):
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign == "(":
            depth += 1
        elif not quoted and sign == ")":
            depth -= 1
        elif not quoted and sign == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]
