"""Paths into what an API sends: `a.b.0.c`.

A key with dots in its name takes precedence over a path: in `{"a.b": 1, "a": {"b": 2}}` the path `a.b` means 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

ABSENT: Final = object()


def at_path(value: Any, path: str) -> Any:
    """Return the value at a path; None if a key is missing on the way."""
    found = look(value, path)
    return None if found is ABSENT else found


def look(value: Any, path: str) -> Any:
    """Return the value at a path, or `ABSENT`. The empty path is the value itself."""
    if not path:
        return value
    if isinstance(value, dict):
        for key, rest in _splits(path):
            found = look(value[key], rest) if key in value else ABSENT
            if found is not ABSENT:
                return found
    if isinstance(value, list):
        key, _, rest = path.partition(".")
        if key.isdecimal() and int(key) < len(value):
            return look(value[int(key)], rest)
    return ABSENT


def take(record: dict[str, Any], path: str) -> tuple[Any, dict[str, Any]]:
    """Return what `look` finds, and the record without it; what became empty goes too. Lists are left as they are."""
    for key, rest in _splits(path):
        if key not in record:
            continue
        others = {name: value for name, value in record.items() if name != key}
        if not rest:
            return record[key], others
        inner = record[key]
        if isinstance(inner, dict):
            found, smaller = take(inner, rest)
            if found is not ABSENT:
                return found, {**record, key: smaller} if smaller else others
        elif (found := look(inner, rest)) is not ABSENT:
            return found, record
    return ABSENT, record


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read `a.b.c` as (first key, rest of the path), the longest key first."""
    keys = path.split(".")
    for count in range(len(keys), 0, -1):
        yield ".".join(keys[:count]), ".".join(keys[count:])
