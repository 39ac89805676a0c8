"""Conversion of parameters to their declared types. Text is accepted: a command line has nothing else."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any, Final

from convergence.config.parameters.dates import parse_date

_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_A: Final = {
    "date": "a date",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "list": "a list",
    "object": "an object",
    "string": "text",
    "secret": "text",
}


def coerce(value: Any, kind: str, today: date) -> Any:
    """Return the value as JSON of that type. Raises `ValueError` with the rest of a sentence."""
    match kind:
        case "date":
            if isinstance(value, date):
                return value.isoformat()
            if isinstance(value, str):
                return parse_date(value, today).isoformat()
        case "boolean":
            if isinstance(value, bool):
                return value
            if isinstance(value, str) and value.lower() in _BOOLEANS:
                return _BOOLEANS[value.lower()]
        case "integer" | "number":
            return _number(value, kind)
        case "list" | "object":
            return _structure(value, kind)
        case _:
            if isinstance(value, str):
                return value
    raise ValueError(f"must be {_A[kind]}" + ("" if kind == "secret" else f", not {shown(value)}"))


def json_value(value: Any) -> Any:
    """Return the value as JSON, unread. Raises `ValueError` with the rest of a sentence."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | bool | int | float | list | dict):
        return value
    raise ValueError(f"must be a JSON value, not {shown(value)}")


def shown(value: Any) -> str:
    """Return a value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _number(value: Any, kind: str) -> Any:
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return int(value)
        if kind == "number":
            try:
                number = float(value)
            except ValueError:
                number = float("inf")
            if abs(number) != float("inf") and number == number:  # noqa: PLR0124 - NaN differs from itself
                return number
    elif isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool):
        return value
    raise ValueError(f"must be {_A[kind]}, not {shown(value)}")


def _structure(value: Any, kind: str) -> Any:
    expected = list if kind == "list" else dict
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            if kind == "list" and not value.lstrip().startswith("["):
                return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, tuple):
        value = list(value)
    if kind == "list" and isinstance(value, int | float):
        return [value]
    if not isinstance(value, expected):
        raise ValueError(f"must be {_A[kind]} (in JSON), not {shown(value)}")
    return value
