"""Frozen records: copies, and reading them back from stored JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from convergence.domain.times import from_text

T = TypeVar("T")
Convert = Callable[[Any], Any]
_FROM_TEXT: Final[Mapping[type, Convert]] = {datetime: from_text, date: date.fromisoformat, Decimal: Decimal}


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """A record that is read, changed and written back, perhaps by an older release than the one that stored it.

    `unknown`: the keys that are fields of a newer release. `to_data` returns them with the known ones, so that they
    outlive a write of this release (ADR 24). The class has no slots, because `changed` copies what is in `__dict__`.
    """

    unknown: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def changed(record: T, **changes: Any) -> T:
    """Return a copy with `changes`: `dataclasses.replace` at a fifth of its cost, made on every move of a step.

    For dataclasses without slots and without `__post_init__`; cached properties must not depend on what changes.
    """
    copy = object.__new__(type(record))
    copy.__dict__.update(record.__dict__)
    copy.__dict__.update(changes)
    return copy


def from_stored(cls: type[T], data: Mapping[str, Any]) -> T:
    """Rebuild a dataclass from the JSON that this release, an older or a newer one stored.

    The fields' types say how a value is read: times, days and amounts from text, enums, tuples, nested records. A field
    without a key (an older release did not know it) takes its default. A key without a field (a newer one wrote it) is
    kept in a `StoredRecord` and ignored elsewhere.

    Raises:
        TypeError: a field without a default is missing.
    """
    values: dict[str, Any] = {}
    for name, convert in _readers(cast("Any", cls)):
        if name in data:
            value = data[name]
            values[name] = value if convert is None or value is None else convert(value)
    if len(values) < len(data) and issubclass(cls, StoredRecord):
        values["unknown"] = {name: value for name, value in data.items() if name not in values}
    return cls(**values)


@cache
def _readers(cls: type[Any]) -> tuple[tuple[str, Convert | None], ...]:
    """Return the fields of a dataclass, each with what reads its value."""
    hints = get_type_hints(cls)
    return tuple((each.name, _reader(hints[each.name])) for each in fields(cls) if each.init and each.name != "unknown")


def _reader(hint: Any) -> Convert | None:
    """Return what turns a JSON value into the type `hint`, None where JSON has it already."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        (inner,) = {argument for argument in arguments if argument is not NoneType}  # None is never converted
        return _reader(inner)
    if origin is tuple:
        item = _reader(arguments[0])
        return tuple if item is None else _each(item)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = _reader(arguments[1])
        return None if item is None else _each_value(item)
    if not isinstance(hint, type):
        return None
    if hint in _FROM_TEXT:
        return _FROM_TEXT[hint]
    if issubclass(hint, Enum):
        return hint
    return (lambda data: from_stored(hint, data)) if is_dataclass(hint) else None


def _each(item: Convert) -> Convert:
    return lambda values: tuple(map(item, values))


def _each_value(item: Convert) -> Convert:
    return lambda values: {key: item(value) for key, value in values.items()}
