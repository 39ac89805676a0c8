"""Firestore's values: their order across types, field paths, and what may be stored.

Order: https://firebase.google.com/docs/firestore/manage-data/data-types · limits: …/firestore/quotas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import grpc

from tests.emulators.serving import Refused

DOCUMENT_BYTES_MAX: Final = 2**20
DEPTH_MAX: Final = 20
_RESERVED: Final = re.compile(r"__.*__")
_PART: Final = re.compile(r"`((?:[^`\\]|\\.)+)`|([A-Za-z_][A-Za-z_0-9]*)")
_RANKS: Final = {
    "null_value": 0, "boolean_value": 1, "integer_value": 2, "double_value": 2, "timestamp_value": 3,
    "string_value": 4, "bytes_value": 5, "reference_value": 6, "geo_point_value": 7, "array_value": 8, "map_value": 9,
}  # fmt: skip


def invalid(message: str) -> Refused:
    """Return the refusal of a request that is wrong by itself."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def rank(value: Any) -> int:
    """Return the place of a value's type in the order of types."""
    return _RANKS[value.WhichOneof("value_type") or "null_value"]


def key(value: Any) -> tuple[Any, ...]:
    """Return what sorts and compares as Firestore does; equal keys are equal values."""
    kind = value.WhichOneof("value_type") or "null_value"
    place = _RANKS[kind]
    if kind == "null_value":
        return (place,)
    if kind == "double_value" and value.double_value != value.double_value:
        return (place, 0, 0.0)
    if place == 2:
        return (place, 1, getattr(value, kind))
    if kind == "timestamp_value":
        return (place, value.timestamp_value.seconds, value.timestamp_value.nanos)
    if kind == "reference_value":
        return (place, tuple(value.reference_value.split("/")))
    if kind == "geo_point_value":
        return (place, value.geo_point_value.latitude, value.geo_point_value.longitude)
    if kind == "array_value":
        return (place, tuple(key(item) for item in value.array_value.values))
    if kind == "map_value":
        fields = value.map_value.fields
        return (place, tuple((name, key(fields[name])) for name in sorted(fields)))
    return (place, getattr(value, kind))


@lru_cache(4096)
def parts(path: str) -> tuple[str, ...]:
    """Split a field path; refuse one whose parts are not quoted as they must be."""
    found, at = [], 0
    while True:
        match = _PART.match(path, at)
        if match is None:
            raise invalid(f'Invalid property path "{path}".')
        quoted, simple = match.groups()
        found.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else simple)
        at = match.end()
        if at == len(path):
            return tuple(found)
        if path[at] != ".":
            raise invalid(f'Invalid property path "{path}".')
        at += 1


def lookup(document: Any, path: str) -> Any | None:
    """Return the value at a field path, or None."""
    fields = document.fields
    *parents, last = parts(path)
    for name in parents:
        if name not in fields or fields[name].WhichOneof("value_type") != "map_value":
            return None
        fields = fields[name].map_value.fields
    return fields.get(last)


def assign(document: Any, path: str, value: Any | None) -> None:
    """Set the value at a field path, making parents; None removes it."""
    fields = document.fields
    *parents, last = parts(path)
    for name in parents:
        if name not in fields or fields[name].WhichOneof("value_type") != "map_value":
            if value is None:
                return
            fields[name].Clear()
            fields[name].map_value.SetInParent()
        fields = fields[name].map_value.fields
    if value is not None:
        fields[last].CopyFrom(value)
    elif last in fields:
        del fields[last]


def check_name(name: str) -> None:
    """Refuse the name of a document that cannot be (quotas: constraints on document IDs)."""
    ids = name.partition("/documents/")[2].split("/")
    for each in ids:
        if each in {"", ".", ".."} or _RESERVED.fullmatch(each) or len(each.encode()) > 1500:
            raise invalid(f'Document name "{name}" has an invalid or reserved id "{each[:80]}".')
    if len(ids) % 2:
        raise invalid(f'Document name "{name}" lacks an id: it has an odd number of parts.')


def check(document: Any) -> None:
    """Refuse a document that Firestore would not store."""
    check_name(document.name)
    _check(document.fields, 1)
    size = sum(len(part.encode()) + 1 for part in document.name.split("/documents/")[1].split("/")) + 16 + 32
    size += _size(document.fields)
    if size > DOCUMENT_BYTES_MAX:
        raise invalid(
            f"Document '{document.name}' cannot be written because its size ({size:,} bytes) exceeds the maximum"
            f" allowed size of {DOCUMENT_BYTES_MAX:,} bytes."
        )


def _check(fields: Any, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise invalid("Property contains an invalid nested entity: more than 20 levels.")
    for name, value in fields.items():
        if not name or _RESERVED.fullmatch(name) or len(name.encode()) > 1500:
            raise invalid(f'Document field name "{name}" is not allowed.')
        kind = value.WhichOneof("value_type")
        if kind == "map_value":
            _check(value.map_value.fields, depth + 1)
        elif kind == "array_value":
            for item in value.array_value.values:
                if item.WhichOneof("value_type") == "array_value":
                    raise invalid("Cannot convert an array value in an array value.")
                if item.WhichOneof("value_type") == "map_value":
                    _check(item.map_value.fields, depth + 2)


def _size(fields: Any) -> int:
    return sum(len(name.encode()) + 1 + _value_size(value) for name, value in fields.items())


def _value_size(value: Any) -> int:
    kind = value.WhichOneof("value_type")
    if kind == "string_value":
        return len(value.string_value.encode()) + 1
    if kind == "bytes_value":
        return len(value.bytes_value)
    if kind == "map_value":
        return 32 + _size(value.map_value.fields)
    if kind == "array_value":
        return sum(_value_size(item) for item in value.array_value.values)
    return 1 if kind in {"boolean_value", "null_value"} else 8


def projected(document: Any, paths: Sequence[str]) -> Any:
    """Return a copy with only the fields of a projection; `__name__` alone gives none."""
    made = type(document)(name=document.name, create_time=document.create_time, update_time=document.update_time)
    for path in paths:
        value = None if path == "__name__" else lookup(document, path)
        if value is not None:
            assign(made, path, value)
    return made


def members(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the keys of an array's items."""
    for item in value.array_value.values:
        yield key(item)
