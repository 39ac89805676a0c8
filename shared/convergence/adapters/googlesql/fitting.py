"""Whether a row's values fit their columns, and how they are written as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from convergence.adapters.googlesql.types import SqlType

_INT64: Final = (-(2**63), 2**63 - 1)
_DIGITS: Final = {"NUMERIC": (29, 9), "BIGNUMERIC": (20, 18)}


def misfit(kind: SqlType, mode: str, value: Any) -> str | None:
    """Say what is wrong with a JSON value for a column, None when it can be stored."""
    if value is None:
        return "is REQUIRED, but has no value" if mode == "REQUIRED" else None
    return None if fits(kind, value) else f"wants {kind}, got {_shown(value)}"


def fits(kind: SqlType, value: Any) -> bool:
    """Say whether a JSON value can be stored in a column of this type; None is a question of the mode."""
    if value is None:
        return True
    if kind.name == "ARRAY":
        return isinstance(value, list) and all(fits(kind.element, item) for item in value)
    if kind.name == "STRUCT":
        return isinstance(value, dict) and all(fits(field, value.get(name)) for name, field in kind.fields)
    if kind.name in {"STRING", "JSON"}:
        return True
    if isinstance(value, bool) or kind.name == "BOOL":
        return kind.name == "BOOL" and (isinstance(value, bool) or str(value).lower() in {"true", "false"})
    if kind.name in {"INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"}:
        return _number_fits(kind.name, value)
    return isinstance(value, str) and _text_fits(kind.name, value)


def _number_fits(kind: str, value: Any) -> bool:
    if not isinstance(value, int | float | str):
        return False
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return False
    if kind == "FLOAT64":
        return True
    if not number.is_finite():
        return False
    if kind == "INT64":
        return number == number.to_integral_value() and _INT64[0] <= number <= _INT64[1]
    return abs(number) < Decimal(10) ** _DIGITS[kind][0]


def _text_fits(kind: str, value: str) -> bool:
    parse = {"DATE": date.fromisoformat, "TIME": time.fromisoformat}.get(kind, datetime.fromisoformat)
    if kind in {"BYTES", "INTERVAL"}:
        return True
    try:
        parse(value.replace(" UTC", "+00:00"))
    except ValueError:
        return False
    return True


def _shown(value: Any) -> str:
    names = {"str": "text", "int": "an integer", "float": "a number", "bool": "a boolean", "dict": "an object"}
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
    raise TypeError(f"{type(value).__name__} is no value of a row")
