"""GoogleSQL types and their DuckDB counterparts. No sqlglot here: loading rows must not pay for its import.

NUMERIC is DECIMAL(38,9), exactly BigQuery's range. BIGNUMERIC has 76 digits there and 38 here, 18 of them behind
the point: what does not fit is an error, never a rounding of the integer part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from convergence.domain.sql_names import duckdb_name
from convergence.errors import InvalidInput, did_you_mean
from convergence.ports.column_values import ALIASES
from convergence.ports.warehouse import Column

NUMERIC: Final = "DECIMAL(38,9)"
BIGNUMERIC: Final = "DECIMAL(38,18)"

DUCKDB: Final = {
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
_GOOGLESQL: Final = {duckdb: googlesql for googlesql, duckdb in DUCKDB.items()} | {
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
_TOKEN: Final = re.compile(r"\s+|(`(?:\\.|[^`\\])+`|[A-Za-z_]\w*|\d+|[<>(),])")


DEPTH_MAX: Final = 30  # of ARRAY and STRUCT in each other; BigQuery takes 15 of STRUCT
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True, slots=True)
class SqlType:
    """A GoogleSQL type: a scalar, `ARRAY` with one unnamed field, or `STRUCT` with fields (a name may be empty)."""

    name: str
    fields: tuple[tuple[str, SqlType], ...] = ()

    def __str__(self) -> str:
        if self.name == "ARRAY":
            return f"ARRAY<{self.fields[0][1]}>"
        if self.name == "STRUCT":
            return "STRUCT<" + ", ".join(f"{_written(name)} {kind}".strip() for name, kind in self.fields) + ">"
        return self.name

    @property
    def element(self) -> SqlType:
        """The element type of an ARRAY."""
        return self.fields[0][1]

    @property
    def duckdb(self) -> str:
        """The DuckDB spelling."""
        if self.name == "ARRAY":
            return self.element.duckdb + "[]"
        if self.name == "STRUCT":
            names = [name or f"_field_{number}" for number, (name, _) in enumerate(self.fields, 1)]
            fields = zip(names, (kind for _, kind in self.fields), strict=True)
            return "STRUCT(" + ", ".join(f"{duckdb_name(name)} {kind.duckdb}" for name, kind in fields) + ")"
        return DUCKDB[self.name]


def _written(name: str) -> str:
    """Return a field's name as GoogleSQL writes it: in backticks unless it is a plain word."""
    if not name or _WORD.fullmatch(name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _read(token: str) -> str:
    """Return the name that a token means."""
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL) if token.startswith("`") else token


def parse_type(text: str) -> SqlType:
    """Parse `NUMERIC(10, 2)`, `ARRAY<STRING>`, `STRUCT<a INT64, b ARRAY<DATE>>`; aliases become the plain name.

    Raises:
        InvalidInput: an unknown type, with the nearest names.
    """
    tokens = [*_tokens(text), ""]
    kind, position = _parse(tokens, 0, text)
    if tokens[position]:
        raise InvalidInput(f"{text!r} is no GoogleSQL type: {tokens[position]!r} is not expected there.")
    return kind


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise InvalidInput(f"{text[:60]!r} is not a GoogleSQL type.")
        tokens += [found[1]] if found[1] else []
        position = found.end()
    if not tokens:
        raise InvalidInput(f"{text[:60]!r} is not a GoogleSQL type.")
    return tokens


def _parse(tokens: list[str], position: int, text: str, depth: int = 0) -> tuple[SqlType, int]:
    if depth > DEPTH_MAX:
        raise InvalidInput(f"{text[:60]!r} is nested deeper than {DEPTH_MAX} levels.")
    name = tokens[position].upper()
    name = ALIASES.get(name, name)
    position += 1
    if name in {"ARRAY", "STRUCT"} and tokens[position] == "<":
        return _parse_fields(name, tokens, position + 1, text, depth)
    if name not in DUCKDB:
        raise InvalidInput(
            f"{text!r}: no GoogleSQL type is called {name!r}.{did_you_mean(name, [*DUCKDB, 'ARRAY', 'STRUCT'])}"
        )
    if tokens[position] == "(":  # NUMERIC(10, 2), STRING(20): bounds are BigQuery's to check
        position = tokens.index(")", position) + 1 if ")" in tokens[position:] else len(tokens) - 1
    return SqlType(name), position


def _parse_fields(name: str, tokens: list[str], position: int, text: str, depth: int) -> tuple[SqlType, int]:
    fields: list[tuple[str, SqlType]] = []
    while tokens[position] not in {">", ""}:
        field = ""
        if name == "STRUCT" and tokens[position + 1] not in {",", ">", "<", "("}:
            field, position = _read(tokens[position]), position + 1
        kind, position = _parse(tokens, position, text, depth + 1)
        fields.append((field, kind))
        if tokens[position] == ",":
            position += 1
    if tokens[position] != ">" or (name == "ARRAY" and len(fields) != 1):
        raise InvalidInput(f"{text!r} is no GoogleSQL type: check its angle brackets.")
    return SqlType(name, tuple(fields)), position + 1


def column_type(column: Column) -> SqlType:
    """Return the type of a schema file's column, its mode included."""
    name = ALIASES.get(column.type.upper(), column.type.upper())
    if name == "STRUCT":
        kind = SqlType("STRUCT", tuple((field.name, column_type(field)) for field in column.fields))
    else:
        kind = parse_type(column.type)
    return SqlType("ARRAY", (("", kind),)) if column.mode == "REPEATED" else kind


def from_duckdb(text: str) -> SqlType:
    """Parse a type as DuckDB prints it. A DECIMAL that is none of ours is the FLOAT64 that its literal meant."""
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


# Columns of tables: (dataset, table) → ((name, GoogleSQL type), …); the dataset of a temporary table is ''.
Catalog = Mapping[tuple[str, str], tuple[tuple[str, SqlType], ...]]
