"""Why a load was refused: the first row that does not fit, found by reading the staged parts again.

The load itself is one statement and fails as a whole; only then is this slower, exact search worth its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from convergence.adapters.local.googlesql.types import SqlType, column_type
from convergence.adapters.local.warehouse_rows import staged_columns
from convergence.adapters.local.warehouse_stage import NdjsonStage
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import Load

_INT64: Final = (-(2**63), 2**63 - 1)
_DIGITS: Final = {"NUMERIC": (29, 9), "BIGNUMERIC": (20, 18)}


def diagnose(load: Load, stages: Sequence[NdjsonStage]) -> SchemaMismatch | None:
    """Return the error that names column, row (from 1) and what came; None when every row fits."""
    columns = [(column.name, column_type(column), column.mode) for column in staged_columns(load.table)]
    for number, row in _rows(stages):
        for name, kind, mode in columns:
            problem = misfit(kind, mode, row.get(name))
            if problem:
                return SchemaMismatch(f"{load.dataset}.{load.table.name}: row {number}: column {name!r} {problem}.")
        outside = _outside(load, row)
        if outside:
            return SchemaMismatch(f"{load.dataset}.{load.table.name}: row {number}: {outside}")
    return None


def _rows(stages: Sequence[NdjsonStage]) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for path in [path for stage in stages for path in stage.parts()]:
        for row in orjson.loads(path.read_bytes()):
            number += 1
            yield number, row


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


def _outside(load: Load, row: dict[str, Any]) -> str | None:
    if load.date_field is None or load.dates is None:
        return None
    value = row.get(load.date_field)
    if value is None:
        return f"{load.date_field!r} has no value, so the row belongs to no date of this load."
    moment = datetime.fromisoformat(value)
    day = (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
    if day in load.dates:
        return None
    return f"{load.date_field!r} is {day}, which is not among the dates of this load ({_range(load.dates)})."


def _range(dates: tuple[date, ...]) -> str:
    return str(dates[0]) if len(dates) == 1 else f"{min(dates)} to {max(dates)}"


def _shown(value: Any) -> str:
    names = {"str": "text", "int": "an integer", "float": "a number", "bool": "a boolean", "dict": "an object"}
    text = repr(value)
    return f"{names.get(type(value).__name__, 'a list')} ({text if len(text) <= 60 else text[:57] + '…'})"
