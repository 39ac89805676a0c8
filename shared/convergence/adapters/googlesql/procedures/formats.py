"""FORMAT of known values: %s, %d, %i, %t, %T and %%, as "Format elements" (GoogleSQL reference) defines them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

_ELEMENT: Final = re.compile(r"%(?P<zeros>0(?P<width>[1-9]\d?))?(?P<kind>[sditT%])|%.?")
_PLAIN: Final = re.compile(r"[ -!#-&(-\[\]-~]*")  # printable ASCII without quotes and backslashes


def formatted(pattern: str, values: Sequence[str | int | date | None]) -> str | None:
    """Return what FORMAT gives; None, which is NULL, where an element other than %t and %T meets NULL.

    Raises:
        ValueError: an element that is not evaluated here, or a value that does not fit it.
    """
    parts: list[str] = []
    position, given, is_null = 0, iter(values), False
    for found in _ELEMENT.finditer(pattern):
        parts.append(pattern[position : found.start()])
        position = found.end()
        if found["kind"] == "%" and found["zeros"] is None:
            parts.append("%")
            continue
        if found["kind"] is None or found["kind"] == "%" or (found["zeros"] and found["kind"] not in {"d", "i"}):
            raise ValueError(f"the element {found[0]!r}")
        value = next(given, _MISSING)
        if value is _MISSING:
            raise ValueError("fewer values than elements")
        is_null |= value is None and found["kind"] not in {"t", "T"}
        parts.append(_element(found["kind"], int(found["width"] or 0), value))
    if next(given, _MISSING) is not _MISSING:
        raise ValueError("more values than elements")
    return None if is_null else "".join([*parts, pattern[position:]])


_MISSING: Final = object()


def _element(kind: str, width: int, value: object) -> str:
    if kind in {"t", "T"}:
        return "NULL" if value is None else written(value) if kind == "t" else _literal(value)
    if value is None:
        return ""
    if kind == "s" and isinstance(value, str):
        return value
    if kind in {"d", "i"} and type(value) is int:
        return f"{value:0{width}d}" if width else str(value)
    raise ValueError(f"%{kind} for {value!r:.40}")


def written(value: object) -> str:
    """Return a value as CAST to STRING writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _literal(value: object) -> str:
    if isinstance(value, str):
        if not _PLAIN.fullmatch(value):
            raise ValueError(f"%T for {value!r:.40}")
        return f'"{value}"'
    return f'DATE "{value}"' if isinstance(value, date) else written(value)
