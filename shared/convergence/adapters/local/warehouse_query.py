"""Running one translated statement and turning its rows into Python values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.local.googlesql.types import SqlType, from_duckdb
from convergence.adapters.local.warehouse_session import Job
from convergence.adapters.local.warehouse_statements import statement
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.warehouse import Parameter, QueryResult, Scope

if TYPE_CHECKING:
    import duckdb

    from convergence.adapters.local.googlesql.translate import Around, Translation

CACHED: Final = 512
Value = Callable[[Any], Any]


class Translator:
    """Translations, the latest used kept: the same text in the same surroundings is translated once."""

    def __init__(self, project: str) -> None:
        self.project = project
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, Around], Translation] = OrderedDict()

    def around(self, scope: Scope, parameters: Mapping[str, Parameter]) -> Around:
        """Return the surroundings of a statement outside of scripts."""
        from convergence.adapters.local.googlesql.translate import Around

        types = tuple(sorted((name.lower(), parameter.type) for name, parameter in parameters.items()))
        return Around(scope=scope, project=self.project, parameters=types)

    def translate(self, sql: str, around: Around) -> Translation:
        """Translate, or remember."""
        from convergence.adapters.local.googlesql.translate import translate

        key = (sql, around)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        fresh = translate(sql, around)
        with self._lock:
            self._known[key] = fresh
            if len(self._known) > CACHED:
                self._known.popitem(last=False)
        return fresh


def run_statement(job: Job, translation: Translation, parameters: Mapping[str, Any], rows_max: int) -> QueryResult:
    """Run a statement on the job's cursor, in whatever transaction that is in."""
    values = {name: parameters[name] for name in translation.parameters}
    job.cursor.execute(translation.sql, values)
    tables = tuple(
        sorted(f"{dataset}.{name}" for dataset, name in translation.touched.reads | translation.touched.writes)
    )
    if translation.is_query:
        columns, rows = fetch(job.cursor, rows_max)
        return QueryResult(columns=columns, rows=rows, tables=tables)
    counted = job.cursor.fetchone() if job.cursor.description else None
    affected = int(counted[0]) if counted and isinstance(counted[0], int) else 0
    return QueryResult(rows_affected=affected, tables=tables)


def fetch(cursor: duckdb.DuckDBPyConnection, rows_max: int) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return columns and at most `rows_max` rows of the statement that just ran."""
    described = cursor.description or []
    columns = tuple(str(column[0]) for column in described)
    convert = [_converter(from_duckdb(str(column[1]))) for column in described]
    rows = cursor.fetchmany(rows_max)
    if any(convert):
        plain = [
            [value if change is None else change(value) for change, value in zip(convert, row, strict=True)]
            for row in rows
        ]
        return columns, [dict(zip(columns, row, strict=True)) for row in plain]
    return columns, [dict(zip(columns, row, strict=True)) for row in rows]


def _converter(kind: SqlType) -> Value | None:
    """Return how values of a type become the port's values; None when they are so already."""
    if kind.name == "TIMESTAMP":
        return _in_utc
    if kind.name == "FLOAT64":
        return _as_float
    if kind.name == "JSON":
        return _parsed
    if kind.name == "ARRAY":
        inner = _converter(kind.element)
        return None if inner is None else lambda value: None if value is None else [inner(item) for item in value]
    if kind.name == "STRUCT":
        fields = [(name, _converter(field)) for name, field in kind.fields]
        if any(change for _, change in fields):
            return lambda value: (
                value and {name: change(value[name]) if change else value[name] for name, change in fields}
            )
    return None


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def _as_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _parsed(value: str | None) -> Any:
    return None if value is None else orjson.loads(value)


def python_value(name: str, parameter: Parameter) -> Any:
    """Return a parameter's value as DuckDB takes it. The cast to its type happens in SQL.

    Raises:
        InvalidInput: a naive datetime for a TIMESTAMP.
    """
    value = parameter.value
    if parameter.type.upper() == "TIMESTAMP" and isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidInput(f"Parameter @{name}: a TIMESTAMP needs a time zone.")
    if parameter.type.upper() == "JSON" and value is not None and not isinstance(value, str):
        return orjson.dumps(value).decode()
    return value


def check_bytes(estimate: int, bytes_max: int | None) -> None:
    """Raise `StepFailed` when a statement would read more than it may."""
    if bytes_max is not None and estimate > bytes_max:
        raise StepFailed(
            f"The statement would read about {estimate:,} bytes, its limit is {bytes_max:,}."
            " Select fewer columns or dates, or raise the limit."
        )


def estimate_bytes(job: Job, translation: Translation) -> int:
    """Return about how many bytes the tables that are read hold: rows × the width of each column's type."""
    total = 0
    for dataset, table in translation.touched.reads:
        for rows, data_type in job.cursor.execute(
            statement("table_size"), {"dataset": dataset, "table": table}
        ).fetchall():
            total += int(rows) * _WIDTH.get(from_duckdb(data_type).name, 32)
    return total


# BigQuery's logical sizes (pricing page, "data size calculation"); text, arrays and structs are a guess.
_WIDTH: Final = {
    "INT64": 8,
    "FLOAT64": 8,
    "NUMERIC": 16,
    "BIGNUMERIC": 32,
    "BOOL": 1,
    "DATE": 8,
    "DATETIME": 8,
    "TIME": 8,
    "TIMESTAMP": 8,
}
