"""Finds the records of a Google list, and what an answer reports as missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from convergence.errors import StepFailed

# A scope of an aggregated list without records; Compute Engine API v1, Warning.code.
_NOTHING: Final = "NO_RESULTS_ON_PAGE"
_UNREACHED: Final = ("unreachables", "unreachable", "missingZones")


def records(page: Any, items: str, service: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (key of the map, record) of all lists at `items`. Google omits an empty list.

    Raises `StepFailed` where there is something other than a list of objects.
    """
    for scope, found in _lists(page, items.split("."), ""):
        if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
            raise StepFailed(f"{service}: {items} is not a list of objects; nothing was loaded")
        for record in found:
            yield scope, record


def incomplete(page: Any, items: str) -> list[str]:
    """Return what the answer could not reach, as Google names it."""
    if not isinstance(page, Mapping):
        return []
    found = [str(each) for name in _UNREACHED for each in page.get(name) or ()]
    found += _warned("", page)
    parts = items.split(".")
    if "*" in parts:
        for scope, node in _lists(page, parts[: parts.index("*") + 1], ""):
            found += _warned(scope, node)
    return found


def value_at(record: Any, path: str) -> Any:
    """Return the value at a dotted path; None where there is none."""
    for name in path.split("."):
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def _lists(node: Any, path: list[str], scope: str) -> Iterator[tuple[str, Any]]:
    if not path:
        yield scope, node
        return
    name, *rest = path
    if not isinstance(node, Mapping):
        raise StepFailed(f"an answer of Google has a {type(node).__name__} where {name!r} was looked for")
    if name == "*":
        for key, inner in node.items():
            yield from _lists(inner, rest, key)
    elif name in node:
        yield from _lists(node[name], rest, scope)


def _warned(scope: str, node: Any) -> list[str]:
    warning = node.get("warning") if isinstance(node, Mapping) else None
    if not isinstance(warning, Mapping) or warning.get("code") == _NOTHING:
        return []
    message = f"{warning.get('code')}: {warning.get('message')}"[:300]
    return [f"{scope}: {message}" if scope else message]
