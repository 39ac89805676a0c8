"""JSON as Firestore's values, and back.

Firestore stores no list in a list, nothing deeper than 20 levels, no integer beyond 64 bits, no field name over 1,500
bytes and none like `__x__` or `` (quotas: https://firebase.google.com/docs/firestore/quotas). The port promises JSON,
so the first four are stored as JSON text in a map of one key, `~json`, and a name that Firestore or this adapter keeps
for itself gets a `~` before it. Names that begin with `~` get one more, so nothing is read back as something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

SHARD: Final = "_shard"  # hidden: which part of a sharded index the document is in
MARK: Final = "_commit"  # hidden: the commit that wrote the document last
HIDDEN: Final = frozenset({SHARD, MARK})

_TEXT: Final = "~json"
_DEPTH_MAX: Final = 16  # room for the document itself and for `~json`
_INT_MAX: Final = 2**63
_NAME_BYTES_MAX: Final = 1_500
_SURELY_SHORT: Final = _NAME_BYTES_MAX // 4 - 1  # characters: UTF-8 takes four bytes at most
_RESERVED: Final = re.compile(r"~.*|__.*__|", re.DOTALL)
_SIMPLE: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def name_of(key: str) -> str:
    """Return the field name under which a key is stored."""
    return f"~{key}" if key in HIDDEN or _RESERVED.fullmatch(key) else key


def path_of(*keys: str) -> str:
    """Return a field path: names quoted where Firestore asks for it (reference: StructuredQuery.FieldReference)."""
    names = (name_of(key) for key in keys)
    return ".".join(name if _SIMPLE.fullmatch(name) else _quoted(name) for name in names)


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def fill(fields: Any, data: Mapping[str, Any], depth: int = 1) -> None:
    """Put `data` into a protobuf map of values. Raises `TypeError` or `ValueError` for what is not JSON."""
    for key, item in data.items():
        if not isinstance(key, str):
            raise TypeError(f"a key must be text, not {type(key).__name__}")
        put(fields[name_of(key)], item, depth)


def put(value: Any, item: Any, depth: int = 1) -> None:
    """Set one protobuf Value. Raises `TypeError` or `ValueError` for what is not JSON."""
    if item is None:
        value.null_value = 0
    elif isinstance(item, str):
        value.string_value = item
    elif isinstance(item, bool):
        value.boolean_value = item
    elif isinstance(item, int | float):
        _put_number(value, item)
    elif isinstance(item, dict | list | tuple):
        _put_many(value, item, depth)
    else:
        raise TypeError(f"Type is not JSON serializable: {type(item).__name__}")


def _put_number(value: Any, item: Any) -> None:
    if isinstance(item, float):
        if math.isfinite(item):
            value.double_value = item
        else:  # JSON has no such number; the encoder of the embedded adapter writes null, too
            value.null_value = 0
    elif -_INT_MAX <= item < _INT_MAX:
        value.integer_value = item
    else:
        _as_text(value, item)


def _put_many(value: Any, item: dict[str, Any] | list[Any] | tuple[Any, ...], depth: int) -> None:
    if depth >= _DEPTH_MAX or not (_named(item) if isinstance(item, dict) else _flat(item)):
        _as_text(value, item)
    elif isinstance(item, dict):
        value.map_value.SetInParent()
        fill(value.map_value.fields, item, depth + 1)
    else:
        value.array_value.SetInParent()
        for each in item:
            put(value.array_value.values.add(), each, depth + 1)


def _named(item: dict[Any, Any]) -> bool:
    """Return whether each key is short enough for a field's name."""
    return not any(
        isinstance(key, str) and len(key) > _SURELY_SHORT and len(key.encode()) >= _NAME_BYTES_MAX for key in item
    )


def _flat(item: list[Any] | tuple[Any, ...]) -> bool:
    return not any(isinstance(each, list | tuple) for each in item)


def _as_text(value: Any, item: Any) -> None:
    value.map_value.fields[_TEXT].string_value = orjson.dumps(item).decode()


def data_of(fields: Any) -> dict[str, Any]:
    """Return a stored document's data, without hidden fields; keys in alphabetical order (protobuf keeps none)."""
    return {_key(name): item_of(fields[name]) for name in sorted(fields) if name not in HIDDEN}


def item_of(value: Any) -> Any:
    """Return one stored value."""
    kind = value.WhichOneof("value_type")
    return _READERS[kind](value)


def _key(name: str) -> str:
    return name.removeprefix("~")


def _map(value: Any) -> Any:
    fields = value.map_value.fields
    if _TEXT in fields:
        return orjson.loads(fields[_TEXT].string_value)
    return {_key(name): item_of(fields[name]) for name in sorted(fields)}


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "null_value": lambda _: None,
    "string_value": lambda value: value.string_value,
    "boolean_value": lambda value: value.boolean_value,
    "integer_value": lambda value: value.integer_value,
    "double_value": lambda value: value.double_value,
    "map_value": _map,
    "array_value": lambda value: [item_of(each) for each in value.array_value.values],
}
