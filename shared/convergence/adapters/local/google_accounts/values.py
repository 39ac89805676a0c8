"""Values as BigQuery's REST API v2 writes them: typed query parameters there, cells of a result back.

Source: types QueryParameter and TableRow of the API; timestamps are whole microseconds (`formatOptions`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from convergence.adapters.googlesql.parameters import python_value
from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def query_parameters(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return named parameters. Raises `InvalidInput` for a value that does not fit its type."""
    found = []
    for name, given in parameters.items():
        kind = parse_type(given.type)
        value = _value(kind, python_value(name, kind, given.value))
        found.append({"name": name, "parameterType": _type(kind), "parameterValue": value})
    return found


def _type(kind: SqlType) -> dict[str, Any]:
    if kind.name == "ARRAY":
        return {"type": "ARRAY", "arrayType": _type(kind.element)}
    if kind.name == "STRUCT":
        return {"type": "STRUCT", "structTypes": [{"name": name, "type": _type(each)} for name, each in kind.fields]}
    return {"type": kind.name}


def _value(kind: SqlType, value: Any) -> dict[str, Any]:
    if kind.name == "ARRAY":
        return {"arrayValues": [_value(kind.element, each) for each in value or ()]}
    if value is None:
        return {"value": None}
    if kind.name == "STRUCT":
        return {"structValues": {name: _value(each, value[name]) for name, each in kind.fields}}
    return {"value": _text(kind, value)}


def _text(kind: SqlType, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if kind.name == "TIMESTAMP" else value
        return moment.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def rest_rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of one answer by column name. Raises `StepFailed` when they do not fit their schema."""
    try:
        fields = answer["schema"]["fields"] if answer.get("rows") else []
        return [_record(fields, row) for row in answer.get("rows") or ()]
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise StepFailed(f"BigQuery: a row does not fit the schema of its answer ({type(error).__name__})") from error


def _record(fields: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> dict[str, Any]:
    return {field["name"]: _cell(field, cell["v"]) for field, cell in zip(fields, row["f"], strict=True)}


def _cell(field: Mapping[str, Any], value: Any) -> Any:
    if field.get("mode") == "REPEATED":
        return [_one(field, each["v"]) for each in value or ()]
    return None if value is None else _one(field, value)


def _one(field: Mapping[str, Any], value: Any) -> Any:
    if field["type"] in {"RECORD", "STRUCT"}:
        return _record(field["fields"], value)
    return _READ.get(field["type"], str)(value)


def _timestamp(microseconds: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "INTEGER": int,
    "INT64": int,
    "FLOAT": float,
    "FLOAT64": float,
    "BOOLEAN": lambda value: str(value).lower() == "true",
    "BOOL": lambda value: str(value).lower() == "true",
    "NUMERIC": Decimal,
    "BIGNUMERIC": Decimal,
    "DATE": date.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "TIME": time.fromisoformat,
    "TIMESTAMP": _timestamp,
    "BYTES": base64.b64decode,
    "JSON": orjson.loads,
}
