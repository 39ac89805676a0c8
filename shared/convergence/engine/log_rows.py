"""Conversion of an event to its row in a log table. Pure: the caller decides when to store rows, and how many.

The columns of a log table are the keys of its events; the schema files are in configs/system/schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from convergence.domain.times import from_text
from convergence.errors import InvalidInput
from convergence.ports.warehouse import LINEAGE_COLUMNS, Row, TableSchema

# The first word of an event's type → the table of its rows.
TABLES: Final[Mapping[str, str]] = {
    "run": "org_meta_pipeline_runs",
    "step": "org_meta_step_logs",
    "audit": "org_audit_logs",
}
_FROM: Final = {"error_message": "error"}  # column → key of the event, where it is another
_EVENT: Final = ("event_id", "event_time")


@dataclass(frozen=True, slots=True)
class LogRow:
    """A row, the table it belongs to, and the id by which a repeat is known."""

    table: TableSchema
    row: Row
    row_id: str


def log_row(data: bytes, schema_of: Callable[[str], TableSchema], *, at: datetime) -> LogRow:
    """Return the row of an event, `at` being when it is stored. A value that is not of its column's type is NULL.

    Raises:
        InvalidInput: not an event that belongs in a log table.
    """
    try:
        event = orjson.loads(data)
        kind, event_id, time, org, values = event["type"], event["id"], event["time"], event["org"], event["data"]
        table = schema_of(TABLES[kind.partition(".")[0]])
        happened = from_text(time)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"not an event of a run, a step or a call: {error!r}") from error
    if not (isinstance(event_id, str) and isinstance(org, str) and isinstance(values, dict)):
        raise InvalidInput("not an event: id and org must be text, data an object")
    row: dict[str, Any] = {
        column.name: _value(values.get(_FROM.get(column.name, column.name)), column.type)
        for column in table.columns
        if column.name not in LINEAGE_COLUMNS and column.name not in _EVENT
    }
    missing = [
        column.name for column in table.columns if column.mode == "REQUIRED" and row.get(column.name, "") is None
    ]
    if missing:
        raise InvalidInput(f"not an event for {table.name}: it has no {', '.join(missing)}")
    row |= {
        **({"org_slug": org} if "org_slug" in row else {}),
        "event_id": event_id,
        "event_time": happened,
        "x_org_slug": org,
        "x_pipeline_id": row.get("pipeline_id", ""),
        "x_credential_id": "",
        "x_pipeline_run_date": happened.date(),
        "x_run_id": row.get("run_id", ""),
        "x_ingested_at": at,
        "x_ingestion_date": at.date(),
    }
    return LogRow(table, row, event_id)


def _value(value: Any, kind: str) -> Any:
    """Return the value as its column's type, or None: a log must not stop at one strange value."""
    if value is None:
        return None
    if kind == "JSON":
        return value
    if kind == "TIMESTAMP":
        try:
            return from_text(value)
        except (TypeError, ValueError, AttributeError):
            return None
    if kind in {"INT64", "INTEGER"}:
        try:
            return int(value)
        except (TypeError, ValueError):
            return None
    return value if isinstance(value, str) else orjson.dumps(value).decode()
