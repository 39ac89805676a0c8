"""Parameters as users declare them: a mapping of specs or bare defaults, or a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.config.dates import looks_like_date
from convergence.config.door import Door
from convergence.config.positions import KeyPath
from convergence.errors import nearest

SPEC_KEYS: Final[Mapping[str, str]] = {
    **{name: name for name in ("type", "required", "default", "allowed", "description")},
    **dict.fromkeys(("allowed_values", "enum", "choices", "options"), "allowed"),
}
TYPES: Final[Mapping[str, str]] = {
    **{name: name for name in ("string", "integer", "number", "boolean", "date", "list", "object", "secret")},
    "str": "string",
    "text": "string",
    "int": "integer",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
    "array": "list",
    "dict": "object",
    "map": "object",
    "json": "object",
}


def parameters(door: Door, at: KeyPath, written: Any) -> dict[str, Any]:
    """Return name → spec, from a mapping (of specs, or of bare defaults) or a list (of specs, or of names)."""
    found: dict[str, Any] = {}
    if isinstance(written, Mapping):
        pairs = [(name, (*at, name), spec) for name, spec in written.items()]
    elif isinstance(written, list):
        pairs = [_listed(door, (*at, index), item) for index, item in enumerate(written)]
    else:
        door.report(at, "parameters is a mapping: name → {type, required, default}")
        return found
    for name, place, spec in pairs:
        if not name:
            continue
        if name in found:
            door.report(place, f"the parameter {name!r} is declared twice")
            continue
        found[name] = _spec(door, place, spec)
        door.came_from(("parameters", name), place)
    return found


def _listed(door: Door, at: KeyPath, item: Any) -> tuple[str, KeyPath, Any]:
    if isinstance(item, str):
        return item, at, {}
    if isinstance(item, Mapping) and isinstance(item.get("name"), str):
        return item["name"], at, {key: value for key, value in item.items() if key != "name"}
    door.report(at, "a parameter in a list is a name, or a mapping with `name`")
    return "", at, None


def _spec(door: Door, at: KeyPath, spec: Any) -> dict[str, Any]:
    if not isinstance(spec, Mapping) or (spec and not set(spec) & set(SPEC_KEYS)):
        return {"type": type_of_default(spec), "default": spec}  # older: the bare default
    found: dict[str, Any] = {}
    for key, value in spec.items():
        target = SPEC_KEYS.get(key)
        if target is None:
            door.report((*at, key), f"a parameter has no {key!r}.{nearest(key, SPEC_KEYS)}")
            continue
        typed = _type(door, (*at, key), value) if key == "type" else value
        door.place(found, ("parameters", str(at[-1]), target), (*at, key), typed)
    found.setdefault("type", type_of_default(found.get("default")))
    return found


def _type(door: Door, at: KeyPath, value: Any) -> Any:
    known = TYPES.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        door.report(at, f"no parameter type is called {value!r}.{nearest(str(value), TYPES)}")
    return known or "string"


def type_of_default(value: Any) -> str:
    """Return the parameter type that a bare default suggests."""
    if isinstance(value, str):
        return "date" if looks_like_date(value) else "string"
    kinds = {bool: "boolean", int: "integer", float: "number", list: "list", dict: "object"}
    return kinds.get(type(value), "string")
