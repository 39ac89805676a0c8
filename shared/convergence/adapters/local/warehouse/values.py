"""Values on their way in and out: parameters for DuckDB, rows as the port promises them, results as JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.types import from_duckdb
from convergence.errors import StepFailed

if TYPE_CHECKING:
    from convergence.adapters.local.warehouse.job import Answer

Convert = Callable[[Any], Any]
RESULT_BYTES_MAX: Final = 100_000_000  # of text, bytes, arrays and structs; BigQuery bounds one row by that
_BATCH: Final = 50  # rows that are fetched before their size is checked; a text may have a MiB
_WIDE: Final = frozenset({"STRING", "BYTES", "JSON", "ARRAY", "STRUCT"})


def fetch(answer: Answer, rows_max: int) -> tuple[tuple[tuple[str, SqlType], ...], list[tuple[Any, ...]]]:
    """Return (name, type) of the columns and at most `rows_max` rows of the statement that just ran.

    Raises:
        StepFailed: the rows are larger than `RESULT_BYTES_MAX`, or hold a date that GoogleSQL does not have.
    """
    described = [(str(column[0]), from_duckdb(str(column[1]))) for column in answer.description or []]
    convert = [_converter(kind) for _, kind in described]
    wide = [place for place, (_, kind) in enumerate(described) if kind.name in _WIDE]
    rows = _fetch_bounded(answer, rows_max, wide) if wide else answer.fetchmany(rows_max)
    if any(convert):
        rows = [
            tuple(value if change is None else change(value) for change, value in zip(convert, row, strict=True))
            for row in rows
        ]
    return tuple(described), rows


def _fetch_bounded(answer: Answer, rows_max: int, wide: Sequence[int]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    while len(rows) < rows_max:
        count = min(_BATCH, rows_max - len(rows))
        batch = answer.fetchmany(count)
        rows += batch
        size += sum(_size(row[place]) for row in batch for place in wide)
        if size > RESULT_BYTES_MAX:
            raise StepFailed(f"The result has more than {RESULT_BYTES_MAX:,} bytes. Select fewer rows or columns.")
        if len(batch) < count:
            break
    return rows


def _size(value: Any) -> int:
    """Return about how many bytes a value has; eight for types of a fixed size."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return 8


def _converter(kind: SqlType) -> Convert | None:
    """Return how values of a type become the port's values; None when they are so already."""
    if kind.name in _CONVERT:
        return _or_none(_CONVERT[kind.name])
    if kind.name == "ARRAY":
        inner = _converter(kind.element)
        return None if inner is None else _or_none(lambda value: [inner(item) for item in value])
    if kind.name == "STRUCT":
        fields = [(name, _converter(field)) for name, field in kind.fields]
        if fields and not fields[0][0]:  # a tuple: BigQuery's clients number fields without names
            return _or_none(lambda value: _numbered(fields, value))
        if any(change for _, change in fields):
            return _or_none(lambda value: {n: change(value[n]) if change else value[n] for n, change in fields})
    return None


def _numbered(fields: Sequence[tuple[str, Convert | None]], values: Sequence[Any]) -> dict[str, Any]:
    changed = [change(value) if change else value for (_, change), value in zip(fields, values, strict=True)]
    return {f"_field_{number}": value for number, value in enumerate(changed, 1)}


def _or_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _in_calendar(value: Any) -> Any:
    """Return a moment; one that Python has no value for comes from DuckDB as text."""
    if isinstance(value, str):
        raise StepFailed(f"{value} is before the year 1 or after 9999.")
    return value


_CONVERT: Final[dict[str, Convert]] = {
    "TIMESTAMP": lambda value: _in_calendar(value).astimezone(UTC),
    "DATE": _in_calendar,
    "DATETIME": _in_calendar,
    "TIME": _in_calendar,
    "FLOAT64": float,
    "JSON": orjson.loads,
    "INT64": int,
}


def to_record(columns: Sequence[tuple[str, SqlType]], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return a result as JSON that `from_record` turns back without loss."""
    return {
        "columns": [[name, str(kind)] for name, kind in columns],
        "rows": [[_plain(value) for value in row] for row in rows],
    }


def from_record(record: dict[str, Any]) -> tuple[list[tuple[str, SqlType]], list[tuple[Any, ...]]]:
    """Return the columns and rows of `to_record`."""
    from convergence.adapters.googlesql.types import parse_type

    columns = [(name, parse_type(kind)) for name, kind in record["columns"]]
    kinds = [kind for _, kind in columns]
    rows = [tuple(_value(kind, value) for kind, value in zip(kinds, row, strict=True)) for row in record["rows"]]
    return columns, rows


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


_PARSE: Final[dict[str, Convert]] = {
    "NUMERIC": Decimal,
    "BIGNUMERIC": Decimal,
    "DATE": date.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "TIMESTAMP": datetime.fromisoformat,
    "TIME": time.fromisoformat,
    "BYTES": base64.b64decode,
}


def _value(kind: SqlType, value: Any) -> Any:
    if value is None:
        return None
    if kind.name == "ARRAY":
        return [_value(kind.element, item) for item in value]
    if kind.name == "STRUCT":
        return {name: _value(field, value[name]) for name, field in kind.fields}
    return _PARSE[kind.name](value) if kind.name in _PARSE else value
