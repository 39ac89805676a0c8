"""Parameters as users declare them: a mapping of specs or bare defaults, or a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.config.dialects.normalization import Normalizer
from convergence.config.parameters.dates import looks_like_date
from convergence.config.yaml.positions import KeyPath
from convergence.errors import did_you_mean

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


def parameters(normalizer: Normalizer, at: KeyPath, written: Any) -> dict[str, Any]:
    """Return name → spec, from a mapping (of specs, or of bare defaults) or a list (of specs, or of names)."""
    found: dict[str, Any] = {}
    if isinstance(written, Mapping):
        pairs = [(name, (*at, name), spec) for name, spec in written.items()]
    elif isinstance(written, list):
        pairs = [_listed(normalizer, (*at, index), item) for index, item in enumerate(written)]
    else:
        normalizer.report(at, "parameters must be a mapping: name → {type, required, default}")
        return found
    for name, place, spec in pairs:
        if not name:
            continue
        if name in found:
            normalizer.report(place, f"the parameter {name!r} is declared twice")
            continue
        found[name] = _spec(normalizer, place, spec)
        normalizer.came_from(("parameters", name), place)
    return found


def _listed(normalizer: Normalizer, at: KeyPath, item: Any) -> tuple[str, KeyPath, Any]:
    if isinstance(item, str):
        return item, at, {}
    if isinstance(item, Mapping) and isinstance(item.get("name"), str):
        return item["name"], at, {key: value for key, value in item.items() if key != "name"}
    normalizer.report(at, "a parameter in a list must be a name, or a mapping with `name`")
    return "", at, None


def _spec(normalizer: Normalizer, at: KeyPath, spec: Any) -> dict[str, Any]:
    if not isinstance(spec, Mapping) or (spec and not set(spec) & set(SPEC_KEYS)):
        return {"type": type_of_default(spec), "default": spec}  # older: the bare default
    found: dict[str, Any] = {}
    for key, value in spec.items():
        target = SPEC_KEYS.get(key)
        if target is None:
            normalizer.report((*at, key), f"a parameter has no {key!r}.{did_you_mean(key, SPEC_KEYS)}")
            continue
        typed = _type(normalizer, (*at, key), value) if key == "type" else value
        normalizer.place(found, ("parameters", str(at[-1]), target), (*at, key), typed)
    found.setdefault("type", type_of_default(found.get("default")))
    return found


def _type(normalizer: Normalizer, at: KeyPath, value: Any) -> Any:
    known = TYPES.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        normalizer.report(at, f"no parameter type is called {value!r}.{did_you_mean(str(value), TYPES)}")
    return known or "string"


def type_of_default(value: Any) -> str:
    """Return the parameter type that a bare default suggests."""
    if isinstance(value, str):
        return "date" if looks_like_date(value) else "string"
    kinds = {bool: "boolean", int: "integer", float: "number", list: "list", dict: "object"}
    return kinds.get(type(value), "string")
