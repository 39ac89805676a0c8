"""Values as docs/googlesql.md writes them."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


def shown(value: Any) -> str:
    """Return a value with its type where the text alone would not say it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, Decimal):
        plain = f"{value:f}"
        return "NUMERIC " + (plain.rstrip("0").rstrip(".") if "." in plain else plain)
    if isinstance(value, datetime):
        return f"{'DATETIME' if value.tzinfo is None else 'TIMESTAMP'} {value.isoformat(sep=' ')}"
    if isinstance(value, date | time):
        return f"{type(value).__name__.upper()} {value.isoformat()}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {shown(item)}" for name, item in value.items()) + "}"
    return repr(value)
