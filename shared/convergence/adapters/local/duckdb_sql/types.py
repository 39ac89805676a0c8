"""DuckDB's spelling of GoogleSQL types, both ways. No sqlglot here: loading rows must not pay for its import.

NUMERIC is DECIMAL(38,9), exactly BigQuery's range. BIGNUMERIC has 76 digits there and 38 here, 18 of them behind
the point: what does not fit is an error, never a rounding of the integer part.
"""

from __future__ import annotations

import re
from typing import Final

from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name

NUMERIC: Final = "DECIMAL(38,9)"
BIGNUMERIC: Final = "DECIMAL(38,18)"

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
    "TINYINT": "INT64",
    "FLOAT": "FLOAT64",
    "UUID": "STRING",
    '"NULL"': "INT64",
    "TIMESTAMP_NS": "DATETIME",
}
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


def _struct_field(part: str) -> tuple[str, SqlType]:
    quoted = _QUOTED.match(part)
    if quoted and not part.startswith('"NULL"'):
        return quoted[1].replace('""', '"'), from_duckdb(part[quoted.end() :].strip())
    name, _, kind = part.partition(" ")
    return name, from_duckdb(kind)


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
