"""GoogleSQL types, parsed and written. Without sqlglot: loading rows must not pay for its import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from convergence.errors import InvalidInput, did_you_mean
from convergence.ports.column_bounds import bounds_problem, with_bounds
from convergence.ports.column_values import ALIASES
from convergence.ports.warehouse import Column

SCALARS: Final = (
    "STRING",
    "INT64",
    "FLOAT64",
    "BOOL",
    "NUMERIC",
    "BIGNUMERIC",
    "DATE",
    "DATETIME",
    "TIMESTAMP",
    "TIME",
    "BYTES",
    "JSON",
    "INTERVAL",
)
_TOKEN: Final = re.compile(r"\s+|(`(?:\\.|[^`\\])+`|[A-Za-z_]\w*|\d+|[<>(),])")


DEPTH_MAX: Final = 30  # nesting of ARRAY and STRUCT; BigQuery allows 15 levels of STRUCT
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class SqlType:
    """A GoogleSQL type: a scalar, `ARRAY` with one unnamed field, or `STRUCT` with fields (a name may be empty).

    `bounds` are those of a column or variable: precision and scale, or the length. Expressions have none, so `str`
    leaves them out.
    """

    name: str
    fields: tuple[tuple[str, SqlType], ...] = ()
    bounds: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.name == "ARRAY":
            return f"ARRAY<{self.fields[0][1]}>"
        if self.name == "STRUCT":
            return "STRUCT<" + ", ".join(f"{_written(name)} {kind}".strip() for name, kind in self.fields) + ">"
        return self.name

    @property
    def declared(self) -> str:
        """The text of the type with its own bounds: `NUMERIC(10, 2)`."""
        return with_bounds(str(self), self.bounds)

    @property
    def element(self) -> SqlType:
        """The element type of an ARRAY."""
        return self.fields[0][1]


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
        raise InvalidInput(f"{text!r} is not a GoogleSQL type: {tokens[position]!r} is not expected there.")
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
    if name not in SCALARS:
        raise InvalidInput(
            f"{text!r}: no GoogleSQL type is called {name!r}.{did_you_mean(name, [*SCALARS, 'ARRAY', 'STRUCT'])}"
        )
    if tokens[position] != "(":
        return SqlType(name), position
    end = tokens.index(")", position) if ")" in tokens[position:] else len(tokens) - 1
    inside = tokens[position + 1 : end]
    if not all(word.isdigit() for word in inside[::2]) or any(word != "," for word in inside[1::2]):
        raise InvalidInput(f"{text!r} is not a GoogleSQL type: its parentheses hold whole numbers only.")
    bounds = tuple(map(int, inside[::2]))
    if problem := bounds_problem(name, bounds):
        raise InvalidInput(f"{text!r}: {problem}.")
    return SqlType(name, bounds=bounds), end + 1


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
        raise InvalidInput(f"{text!r} is not a GoogleSQL type: check its angle brackets.")
    return SqlType(name, tuple(fields)), position + 1


def column_type(column: Column) -> SqlType:
    """Return the type of a schema file's column, its mode included, without its bounds."""
    name = ALIASES.get(column.type.upper(), column.type.upper())
    if name == "STRUCT":
        kind = SqlType("STRUCT", tuple((field.name, column_type(field)) for field in column.fields))
    else:
        kind = parse_type(column.type)
    return SqlType("ARRAY", (("", kind),)) if column.mode == "REPEATED" else kind


def described(name: str, kind: SqlType, *, required: bool = False, description: str = "") -> Column:
    """Return a column of this type, as a schema file describes it."""
    repeated = kind.name == "ARRAY"
    inner = kind.element if repeated else kind
    fields = tuple(described(field, each) for field, each in inner.fields) if inner.name == "STRUCT" else ()
    mode = "REPEATED" if repeated else "REQUIRED" if required else "NULLABLE"
    return Column(name, inner.name, mode, description, fields, inner.bounds)


# Columns of tables: (dataset, table) → ((name, GoogleSQL type), …); the dataset of a temporary table is ''.
Catalog = Mapping[tuple[str, str], tuple[tuple[str, SqlType], ...]]
