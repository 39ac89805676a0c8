"""The values of a file as texts and as JSON: SQL of DuckDB. Its own JSON would have NaN, numbers with more digits than
readers of JSON keep, and keys that are there twice."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import orjson

from convergence.adapters.local.duckdb_sql.types import struct_fields
from convergence.adapters.local.warehouse.named_sql import quoted
from convergence.ports.warehouse import FileFormat, RowFile

DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)")
WHOLE_TYPES: Final = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
_PLAIN: Final = frozenset({"BOOLEAN", *WHOLE_TYPES})  # JSON has them
_NESTED: Final = re.compile(r"^(MAP|STRUCT|UNION)\(|\[\d*\]$")


def as_text(source: str, kind: str, file: RowFile) -> str:
    """Return the SQL of a value as text: JSON for what is nested, base64 for bytes, NULL for what means no value."""
    if file.format is FileFormat.CSV:
        return source  # read so
    if _NESTED.search(kind):
        return _nested(source, kind, replace(file, nulls=()))
    if kind == "BLOB":
        return f"to_base64({source})"
    text = source if kind == "VARCHAR" else f"CAST({source} AS VARCHAR)"
    for null in file.nulls if kind == "VARCHAR" else ():
        text = f"nullif({text}, {quoted(null)})"
    return text


def as_json(source: str, kind: str, file: RowFile, depth: int = 0) -> str:
    """Return the SQL of a value as JSON, NULL for no value. A number that a float does not hold is a text."""
    if _NESTED.search(kind) and file.format is not FileFormat.CSV:
        return _nested(source, kind, replace(file, nulls=()), depth)
    text = as_text(source, kind, file)
    if file.format is FileFormat.CSV or kind == "BLOB":
        return f"CAST(to_json({text}) AS VARCHAR)"
    if kind in {"FLOAT", "DOUBLE"}:
        return f"CASE WHEN isfinite({source}) THEN {text} ELSE CAST(to_json({text}) AS VARCHAR) END"
    found = DECIMAL.fullmatch(kind)
    if found or kind in {"HUGEINT", "UHUGEINT", "UBIGINT"}:
        plain = f"rtrim(rtrim({text}, '0'), '.')" if found and int(found[2]) else text
        digits = f"length(ltrim(replace(replace({plain}, '-', ''), '.', ''), '0'))"
        short = f"{digits} <= 15" if found else f"TRY_CAST({source} AS BIGINT) IS NOT NULL"
        return f"CASE WHEN {short} THEN {plain} ELSE CAST(to_json({plain}) AS VARCHAR) END"
    return f"CAST(to_json({source if kind in _PLAIN else text}) AS VARCHAR)"


def _nested(source: str, kind: str, file: RowFile, depth: int = 0) -> str:
    """Return the SQL of a list, map or record as JSON, in which each value is as `as_json` has it."""
    if kind.endswith("]"):
        return _list(source, kind[: kind.rindex("[")], file, depth)
    if kind.startswith("MAP("):
        return _map(source, struct_fields(kind)[1][1], file, depth)
    if not kind.startswith("STRUCT("):
        return f"CAST(to_json({source}) AS VARCHAR)"
    fields = " || ',' || ".join(
        f"{quoted(orjson.dumps(name).decode() + ':')} || {_part(_field(source, name), each, file, depth)}"
        for name, each in struct_fields(kind)
    )
    return f"CASE WHEN {source} IS NULL THEN NULL ELSE '{{' || {fields} || '}}' END"


def _list(source: str, kind: str, file: RowFile, depth: int) -> str:
    items = f"list_transform({source}, lambda each{depth}: {_part(f'each{depth}', kind, file, depth + 1)})"
    return f"('[' || array_to_string({items}, ',') || ']')"


def _map(source: str, kind: str, file: RowFile, depth: int) -> str:
    each = f"each{depth}"
    pair = f"to_json(CAST({each}.key AS VARCHAR)) || ':' || {_part(f'{each}.value', kind, file, depth + 1)}"
    items = f"list_transform(map_entries({source}), lambda {each}: {pair})"
    keys = f"list_transform(map_keys({source}), lambda {each}: CAST({each} AS VARCHAR))"
    twins = f"len(list_distinct({keys})) < len({keys})"  # no JSON then, so that it fits nowhere
    return f"('{{' || array_to_string({items}, ',') || CASE WHEN {twins} THEN ' (a key appears twice)' ELSE '}}' END)"


def _field(source: str, name: str) -> str:
    return f"struct_extract({source}, {quoted(name)})"


def _part(source: str, kind: str, file: RowFile, depth: int) -> str:
    return f"coalesce({as_json(source, kind, file, depth)}, 'null')"
