"""Values on their way to BigQuery and back: rows as JSON lines, query parameters, results as the port promises them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from convergence.adapters.googlesql.fitting import as_json
from convergence.adapters.googlesql.parameters import python_value
from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.ports.column_values import convert, type_name
from convergence.ports.warehouse import Column, Parameter

if TYPE_CHECKING:
    from google.cloud import bigquery


def json_value(column: Column, value: Any) -> Any:
    """Return a value as a load job reads it without loss: `convert`, and JSON as its text.

    Raises `ValueError` for a value that does not fit.
    """
    return _json_as_text(column, convert(column, value))


def _json_as_text(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.mode == "REPEATED":
        single = replace(column, mode="NULLABLE")
        return [_json_as_text(single, each) for each in value]
    kind = type_name(column)
    if kind == "STRUCT":
        return {field.name: _json_as_text(field, value[field.name]) for field in column.fields}
    return orjson.dumps(value, default=as_json).decode() if kind == "JSON" else value


def query_parameters(parameters: Mapping[str, Parameter]) -> list[Any]:
    """Return typed query parameters. Raises `InvalidInput` for a value that does not fit its type."""
    found = []
    for name, given in parameters.items():
        kind = parse_type(given.type)
        found.append(_parameter(name, kind, python_value(name, kind, given.value)))
    return found


def _parameter(name: str | None, kind: SqlType, value: Any) -> Any:
    from google.cloud import bigquery

    if kind.name == "STRUCT":
        fields = [_parameter(field, each, None if value is None else value[field]) for field, each in kind.fields]
        return bigquery.StructQueryParameter(name, *fields)
    if kind.name == "ARRAY":
        if kind.element.name == "STRUCT":
            each = kind.element
            empty = bigquery.StructQueryParameterType(*(_struct_field(field, inner) for field, inner in each.fields))
            return bigquery.ArrayQueryParameter(name, empty, [_parameter(None, each, item) for item in value or []])
        return bigquery.ArrayQueryParameter(
            name, kind.element.name, [_scalar(kind.element, item) for item in value or []]
        )
    return bigquery.ScalarQueryParameter(name, kind.name, _scalar(kind, value))


def _struct_field(name: str, kind: SqlType) -> Any:
    from google.cloud import bigquery

    return bigquery.ScalarQueryParameterType(kind.name, name=name)


def _scalar(kind: SqlType, value: Any) -> Any:
    """Return a value as the client's own conversion for the type takes it."""
    if value is None:
        return None
    if kind.name == "JSON":
        return orjson.loads(value)
    if kind.name == "INT64":
        return int(value)
    if kind.name in {"NUMERIC", "BIGNUMERIC"}:
        return Decimal(str(value))
    return value


def port_rows(fields: Sequence[bigquery.SchemaField], rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return rows by column name with the port's values."""
    names = [field.name for field in fields]
    convert = [_converter(field) for field in fields]
    return [
        {
            name: value if change is None else change(value)
            for name, change, value in zip(names, convert, row, strict=True)
        }
        for row in rows
    ]


def _converter(field: bigquery.SchemaField) -> Callable[[Any], Any] | None:
    """Timestamps in UTC, base64 text as bytes; the client has done the rest."""
    if field.field_type == "TIMESTAMP" and field.mode != "REPEATED":
        return lambda value: None if value is None else value.astimezone(UTC)
    if field.field_type == "BYTES" and field.mode != "REPEATED":
        return lambda value: base64.b64decode(value) if isinstance(value, str) else value
    return None


def sql_type(field: bigquery.SchemaField) -> SqlType:
    """Return the type of a column as BigQuery's API names it."""
    if field.field_type in {"RECORD", "STRUCT"}:
        kind = SqlType("STRUCT", tuple((each.name, sql_type(each)) for each in field.fields))
    else:
        kind = parse_type(field.field_type)
    return SqlType("ARRAY", (("", kind),)) if field.mode == "REPEATED" else kind
