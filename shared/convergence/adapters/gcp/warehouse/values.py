"""Values on their way to BigQuery and back: rows as JSON lines, query parameters, results as the port promises them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.googlesql.fitting import as_json
from convergence.adapters.googlesql.parameters import python_value
from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.ports.warehouse import Parameter

if TYPE_CHECKING:
    from google.cloud import bigquery

_SCALE: Final = {"NUMERIC": Decimal("1e-9"), "BIGNUMERIC": Decimal("1e-38")}  # digits behind the point


def json_value(kind: SqlType, value: Any) -> Any:
    """Return a value that fits its column (see `googlesql.fitting`) as a load job reads it without loss.

    Numbers of exact types travel as text, rounded half away from zero as BigQuery rounds. JSON travels as its text.
    """
    if kind.name == "ARRAY":
        return [json_value(kind.element, each) for each in value or ()]
    if value is None:
        return None
    if kind.name == "STRUCT":
        return {name: json_value(field, value.get(name)) for name, field in kind.fields}
    return _SCALARS.get(kind.name, _as_is)(value)


def _as_is(value: Any) -> Any:
    return value


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else orjson.dumps(value, default=as_json).decode()


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"


def _timestamp(value: Any) -> str:
    moment = datetime.fromisoformat(str(value).replace(" UTC", "+00:00"))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _exact(name: str) -> Callable[[Any], str]:
    def exact(value: Any) -> str:
        with localcontext() as context:
            context.prec = 80
            rounded = Decimal(str(value).strip()).quantize(_SCALE[name], rounding=ROUND_HALF_UP)
            return f"{rounded.normalize():f}"

    return exact


_SCALARS: Final[dict[str, Callable[[Any], Any]]] = {
    "STRING": _text,
    "JSON": lambda value: orjson.dumps(value, default=as_json).decode(),
    "BOOL": _boolean,
    "INT64": lambda value: str(int(Decimal(str(value).strip()))),
    "FLOAT64": float,
    "NUMERIC": _exact("NUMERIC"),
    "BIGNUMERIC": _exact("BIGNUMERIC"),
    "TIMESTAMP": _timestamp,
}


def query_parameters(parameters: Mapping[str, Parameter]) -> list[Any]:
    """Return typed query parameters. Raises `InvalidInput` for a value that is none of its type."""
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
