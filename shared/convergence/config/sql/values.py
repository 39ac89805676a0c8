"""Typed values of query parameters: as JSON in a plan, as Python values for the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from convergence.ports.warehouse import Parameter

# GoogleSQL types of declared parameter types; `number` is exact, money is never a float.
SQL_TYPES: Final[Mapping[str, str]] = {
    "string": "STRING",
    "integer": "INT64",
    "number": "NUMERIC",
    "boolean": "BOOL",
    "date": "DATE",
    "object": "JSON",
}


def type_of(value: Any) -> str:
    """Return the GoogleSQL type of a JSON value."""
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int):
        return "INT64"
    if isinstance(value, float):
        return "NUMERIC"
    if isinstance(value, list | tuple):
        kinds = {type_of(item) for item in value}
        return f"ARRAY<{kinds.pop()}>" if len(kinds) == 1 else "ARRAY<STRING>"
    return "JSON" if isinstance(value, Mapping) else "STRING"


def value_of(value: Any, kind: str | None, name: str) -> dict[str, Any]:
    """Return `{"type": …, "value": …}` as JSON.

    Raises:
        ValueError: the value does not fit; the message names `name`, not the value.
    """
    kind = kind or type_of(value)
    if value is None:
        return {"type": kind, "value": None}
    try:
        python_value(kind, value)
    except (ValueError, TypeError, InvalidOperation) as error:
        raise ValueError(f"the value of {{{name}}} is not a valid {kind}") from error
    if kind in {"NUMERIC", "BIGNUMERIC"} or (kind == "STRING" and not isinstance(value, str)):
        value = str(value).lower() if isinstance(value, bool) else str(value)
    return {"type": kind, "value": value}


def python_value(kind: str, value: Any) -> Any:
    """Return the Python value that the warehouse takes for a type: date, datetime, Decimal, int, bool, text, list.

    Raises:
        ValueError, TypeError or decimal.InvalidOperation: it does not fit.
    """
    if value is None or kind == "JSON":
        return value
    if kind.startswith("ARRAY<"):
        return [python_value(kind[6:-1], item) for item in value]
    if kind == "DATE":
        return date.fromisoformat(value)
    if kind in {"TIMESTAMP", "DATETIME"}:
        return datetime.fromisoformat(value)
    if kind in {"NUMERIC", "BIGNUMERIC"}:
        return Decimal(str(value))
    if kind == "INT64":
        return int(value)
    if kind == "BOOL" and not isinstance(value, bool):
        raise ValueError(value)
    return value


def bind(resolved: str | Mapping[str, Any]) -> tuple[str, dict[str, Parameter]]:
    """Return the SQL and its parameters of a resolved SQL key, ready for `Warehouse.query`.

    `resolved` is what a step finds under `query`, `sql`, … : `{"sql": …, "parameters": …}`; plain text has no
    parameters.
    """
    from convergence.ports.warehouse import Parameter  # its many classes are needed only where SQL runs

    if isinstance(resolved, str):
        return resolved, {}
    parameters = {
        name: Parameter(entry["type"], python_value(entry["type"], entry["value"]))
        for name, entry in resolved["parameters"].items()
    }
    return resolved["sql"], parameters
