"""What a write requires of the stored document, and the document that results."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from convergence.adapters.local.documents.recent import Key
from convergence.errors import Conflict, InvalidInput
from convergence.ports.documents import Create, Data, Delete, FieldPath, Patch, Replace, Write


class Encoded(NamedTuple):
    """A write ready for the file; `body` is empty for a Patch, whose body depends on what is stored, and a Delete."""

    write: Write
    key: Key
    body: str


def encoded(write: Write) -> Encoded:
    """Prepare a write. Raises `InvalidInput` for what is not JSON, such as half of a Unicode character."""
    try:
        if isinstance(write, Create | Replace):
            return Encoded(write, split(write.path), orjson.dumps(write.data).decode())
        if isinstance(write, Patch):
            orjson.dumps(list(write.set.values()))
    except TypeError as error:
        raise InvalidInput(f"{write.path} cannot be stored: {error}") from error
    return Encoded(write, split(write.path), "")


def split(path: str) -> Key:
    """Return collection and id."""
    collection, _, name = path.rpartition("/")
    return collection, name


def holds(write: Write, stored: int | None) -> bool:
    """Return whether the precondition of `write` holds for the version `stored` (None: there is no document)."""
    if isinstance(write, Create):
        return stored is None
    if isinstance(write, Patch):
        return stored is not None
    if isinstance(write, Delete):
        return write.version is None or stored == write.version
    return stored == write.version


def conflict(write: Write) -> Conflict:
    """Return the error of a write whose precondition does not hold."""
    return Conflict(f"{write.path}: another writer was first; read again")


def patched(data: Data, patch: Patch) -> Data:
    """Return `data` with the fields of `patch` set and unset; parents of a set field are created."""
    for field, value in patch.set.items():
        _parent(data, field)[field[-1]] = value
    for field in patch.unset:
        _parent(data, field).pop(field[-1], None)
    return data


def _parent(data: Data, field: FieldPath) -> dict[str, Any]:
    for name in field[:-1]:
        child = data.get(name)
        if not isinstance(child, dict):
            child = data[name] = {}
        data = child
    return data
