"""Arrays of a result as BigQuery returns them: none is NULL, and none holds NULL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convergence.adapters.googlesql.types import SqlType
from convergence.errors import StepFailed


def with_whole_arrays(columns: Sequence[tuple[str, SqlType]], rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows with an empty array for each that is NULL.

    Raises:
        StepFailed: an array holds NULL.
    """
    if not any(_holds_array(kind) for _, kind in columns):
        return rows
    return [tuple(_whole(name, kind, value) for (name, kind), value in zip(columns, row, strict=True)) for row in rows]


def _holds_array(kind: SqlType) -> bool:
    return kind.name == "ARRAY" or any(_holds_array(field) for _, field in kind.fields)


def _whole(name: str, kind: SqlType, value: Any) -> Any:
    if kind.name == "ARRAY":
        elements = value or []
        if any(element is None for element in elements) and kind.element.name != "JSON":
            raise StepFailed(
                f"The array {name!r} of the result holds NULL, which BigQuery refuses to return. Leave it out:"
                " ARRAY_AGG(… IGNORE NULLS), or WHERE … IS NOT NULL in ARRAY(…)."
            )
        return [_whole(name, kind.element, element) for element in elements]
    if kind.name == "STRUCT" and isinstance(value, dict) and _holds_array(kind):
        fields = zip(value.items(), kind.fields, strict=True)
        return {field: _whole(field, inner, each) for (field, each), (_, inner) in fields}
    return value
