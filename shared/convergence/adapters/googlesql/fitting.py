"""Whether a row's values fit their columns, and how they are written as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from convergence.adapters.googlesql.types import column_type
from convergence.ports.column_values import convert, declared_type, text_of, type_name
from convergence.ports.warehouse import Column, Row


def misfit(column: Column, value: Any) -> str | None:
    """Return what is wrong with a value for a column, None when it can be stored."""
    try:
        convert(column, value)
    except ValueError:
        if value is None:
            return "is REQUIRED, but has no value"
        return f"must be {declared_type(column) if column.bounds else column_type(column)}, got {_shown(value)}"
    return None


def _shown(value: Any) -> str:
    names = {"str": "text", "int": "an integer", "float": "a number", "bool": "a boolean", "dict": "an object"}
    value = str(value) if isinstance(value, Decimal | date | time | bytes) else value
    text = repr(value)
    return f"{names.get(type(value).__name__, 'a list')} ({text if len(text) <= 60 else text[:57] + '…'})"


def unreal_number(value: Any) -> float | None:
    """Return the first NaN or infinite float in a value, lists and objects included."""
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    if isinstance(value, list | tuple):
        return next((found for each in value if (found := unreal_number(each)) is not None), None)
    if isinstance(value, Mapping):
        return unreal_number(list(value.values()))
    return None


def with_texts(columns: Sequence[Column], row: Row) -> Row:
    """Return a row whose objects and lists in STRING columns are JSON text: DuckDB reads their numbers as floats."""
    changed = {}
    for column in columns:
        value = row.get(column.name)
        if isinstance(value, list | tuple | Mapping) and value:
            changed[column.name] = _as_text(column, value)
    return {**row, **changed} if changed else row


def _as_text(column: Column, value: Any) -> Any:
    if column.mode == "REPEATED" and isinstance(value, list | tuple):
        single = replace(column, mode="NULLABLE")
        return [_as_text(single, each) for each in value]
    kind = type_name(column)
    if kind == "STRING" and isinstance(value, list | tuple | Mapping):
        return text_of(value)
    if kind == "STRUCT" and isinstance(value, Mapping):
        return {field.name: _as_text(field, value[field.name]) for field in column.fields if field.name in value}
    return value


def as_json(value: Any) -> Any:
    """Return as JSON what orjson does not support: exact numbers as text, bytes in base64, mappings as objects."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, int):  # wider than 64 bits
        return str(value)
    if isinstance(value, bytes):
        from base64 import b64encode

        return b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "keys"):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a type that a row can hold")
