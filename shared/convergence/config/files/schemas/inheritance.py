"""Files with several tables, of which one may inherit the fields of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.errors import ConfigError, did_you_mean


def holds_tables(data: Any) -> bool:
    """True for the older form `{version, inherits, schemas: {name: {fields}}}`."""
    return isinstance(data, dict) and isinstance(data.get("schemas"), dict)


def bases_of(data: Mapping[str, Any]) -> frozenset[str]:
    """Return the tables of a file with several from which another one of them inherits."""
    tables: Mapping[str, Any] = data["schemas"]
    given = [data.get("inherits"), *(each.get("inherits") for each in tables.values() if isinstance(each, dict))]
    return frozenset(name for each in given for name in _names(each) if isinstance(name, str) and name in tables)


def with_inherited(tables: Mapping[str, Any], shared: Any, name: str, *, where: str) -> dict[str, Any]:
    """Return one table of a file with several, with the fields of those that it inherits in front of its own."""
    found: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for each in _ancestry(tables, shared, name, where=where):
        table = {"fields": tables[each]} if isinstance(tables[each], list) else dict(tables[each])
        table.pop("inherits", None)
        own = table.pop("fields", None)
        if not isinstance(own, list) or not all(isinstance(field, dict) for field in own):
            raise ConfigError(f"the table {each!r} needs a list of fields", where=where, path=f"schemas.{each}")
        fields.update({str(field.get("name")): field for field in own})
        found = table
    return {**found, "fields": list(fields.values())}


def _ancestry(tables: Mapping[str, Any], shared: Any, name: str, *, where: str) -> list[str]:
    """Return the table and those that it inherits from, the most general one first."""
    ancestry: list[str] = []
    waiting: list[Any] = [name]
    while waiting:
        each = waiting.pop()
        if each in ancestry:
            continue
        if not isinstance(each, str) or not isinstance(tables.get(each), list | dict):
            message = f"inherits names {each!r}, which this file does not describe.{did_you_mean(str(each), tables)}"
            raise ConfigError(message, where=where, path=f"schemas.{name}")
        ancestry.insert(0, each)
        own = tables[each].get("inherits", ()) if isinstance(tables[each], dict) else ()
        above = own or (() if each in _names(shared) else shared)
        waiting += _names(above)
    return ancestry


def _names(given: Any) -> list[Any]:
    """Return the entries of `inherits`, which may be of any type until they are looked up."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]
