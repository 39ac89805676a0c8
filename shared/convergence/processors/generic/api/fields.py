"""Which fields of a record have a column, and whether a record has any: an error among records has none."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from typing import Any, Final

from convergence.ports.column_values import type_name
from convergence.ports.http.reported_errors import has_only_error, reported_error
from convergence.ports.warehouse import Column, Row

NAMES_MAX: Final = 100  # of fields that are counted by name
NAME_LENGTH_MAX: Final = 200
FURTHER: Final = "further fields"


def split(names: Container[str], structs: Mapping[str, Column], row: Row) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a row without the values that have no column, and those by path: `usage.extra`, in a list `tags.0.extra`.

    `names` are those of all columns, `structs` the columns that have fields.
    """
    unknown: dict[str, Any] = {}
    known: dict[str, Any] = {}
    for name, value in row.items():
        if name in structs:
            known[name] = _known(structs[name], value, name, unknown)
        else:
            (known if name in names else unknown)[name] = value
    return known, unknown


def _known(column: Column, value: Any, path: str, unknown: dict[str, Any]) -> Any:
    if type_name(column) != "STRUCT":
        return value
    if column.mode == "REPEATED" and isinstance(value, list):
        return [_inside(column, each, f"{path}.{place}", unknown) for place, each in enumerate(value)]
    return _inside(column, value, path, unknown)


def _inside(column: Column, value: Any, path: str, unknown: dict[str, Any]) -> Any:
    if not isinstance(value, Mapping):
        return value  # the load refuses it
    fields = {field.name: field for field in column.fields}
    known: dict[str, Any] = {}
    for name, inner in value.items():
        if name in fields:
            known[name] = _known(fields[name], inner, f"{path}.{name}", unknown)
        else:
            unknown[f"{path}.{name}"] = inner
    return known


def count(dropped: dict[str, int], paths: Iterable[str]) -> None:
    """Count the fields of a record that are dropped, by path without places in lists; names are bounded."""
    for path in dict.fromkeys(".".join(key for key in path.split(".") if not key.isdecimal()) for path in paths):
        named = path in dropped or (len(dropped) < NAMES_MAX and len(path) <= NAME_LENGTH_MAX)
        name = path if named else FURTHER
        dropped[name] = dropped.get(name, 0) + 1


def no_record(table: str, expected: Collection[str], known: Row, unknown: Row, *, dropped: bool) -> str | None:
    """Return the reason why an item among the records is not one: its row would be empty. None for a record.

    `expected` are the columns that a record fills, `dropped` whether an error would be lost. If it would, and columns
    are empty, it is not a record either: an API may name the item that it failed for.
    """
    error = reported_error(unknown)
    if expected and not any(holds(value) for name, value in known.items() if name in expected):
        return f"it is an error: {error}" if error else f"it has no field that {table} has a column for"
    if error is None:
        return None
    if not expected and has_only_error(unknown):
        return f"it is an error: {error}"
    if dropped and not all(holds(known.get(name)) for name in expected):
        return f"it reports an error, and lacks fields of {table}: {error}"
    return None


def holds(value: Any) -> bool:
    """Whether there is any value: null, and an object or list of nulls, is none."""
    if isinstance(value, Mapping):
        return any(map(holds, value.values()))
    return any(map(holds, value)) if isinstance(value, list | tuple) else value is not None
