"""Values of query parameters, checked against their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from convergence.adapters.googlesql.types import SqlType
from convergence.errors import InvalidInput, did_you_mean

_INTEGER: Final = re.compile(r"\s*[-+]?\d+\s*")


def python_value(name: str, kind: SqlType, value: Any) -> Any:
    """Return a parameter's value; the cast to its type happens in SQL.

    Raises:
        InvalidInput: a TIMESTAMP without a zone, not an integer, not a list, an object with other fields than the
        type's.
    """
    if value is None:
        return None
    if kind.name == "ARRAY":
        if not isinstance(value, list | tuple) or kind.element.name == "ARRAY":
            raise InvalidInput(
                f"Parameter @{name}: {kind} takes a list that does not contain lists; got {value!r:.60}."
            )
        return [python_value(name, kind.element, each) for each in value]
    if kind.name == "STRUCT":
        return _struct(name, kind, value)
    if kind.name == "TIMESTAMP" and isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidInput(f"Parameter @{name}: a TIMESTAMP needs a time zone.")
    if kind.name == "JSON":
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    if kind.name == "INT64" and not _is_integer(value):
        raise InvalidInput(f"Parameter @{name}: {value!r:.60} is not an INT64.")
    return value


def _struct(name: str, kind: SqlType, value: Any) -> dict[str, Any]:
    """Return all fields of the type, those that are not given as NULL; DuckDB would drop what it does not know."""
    fields = dict(kind.fields)
    if "" in fields:
        raise InvalidInput(f"Parameter @{name}: the fields of {kind} need names.")
    if not isinstance(value, Mapping):
        raise InvalidInput(f"Parameter @{name}: {kind} takes an object, got {value!r:.60}.")
    for given in value:
        if given not in fields:
            raise InvalidInput(f"Parameter @{name}: {kind} has no field {given!r}.{did_you_mean(str(given), fields)}")
    return {field: python_value(f"{name}.{field}", each, value.get(field)) for field, each in kind.fields}


def _is_integer(value: Any) -> bool:
    if isinstance(value, str):
        return _INTEGER.fullmatch(value) is not None
    return isinstance(value, int) or (isinstance(value, Decimal) and value == value.to_integral_value())
