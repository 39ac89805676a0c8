"""Whether a row's values fit their columns, and how they are written as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from convergence.adapters.googlesql.types import column_type
from convergence.ports.column_values import convert
from convergence.ports.warehouse import Column


def misfit(column: Column, value: Any) -> str | None:
    """Say what is wrong with a value for a column, None when it can be stored."""
    try:
        convert(column, value)
    except ValueError:
        if value is None:
            return "is REQUIRED, but has no value"
        return f"wants {column_type(column)}, got {_shown(value)}"
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


def as_json(value: Any) -> Any:
    """Return what orjson does not know itself as JSON: exact numbers as text, bytes in base64, mappings as objects."""
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
    raise TypeError(f"{type(value).__name__} is not a value of a row")
