"""Types of values, and whether a column holds a value exactly.

A column of an inferred table accepts only values that it returns unchanged: no number is rounded, none becomes a float,
no string becomes a number. A value that fits no other type of column is JSON, which holds every value; numbers with
more digits than a float has are strings there, with all their digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from convergence.ports.column_values import CLOCK, DAY, OFFSET, convert, type_name
from convergence.ports.warehouse import Column

NUMBER, OBJECT, LIST, JSON = "NUMBER", "OBJECT", "LIST", "JSON"
DEPTH_MAX: Final = 10  # of records in records; BigQuery allows 15
FIELDS_MAX: Final = 100  # of a record; a larger one is JSON
_INT64: Final = range(-(2**63), 2**63)
# Type → digits before and after the point that both warehouses store.
_DIGITS: Final = {"NUMERIC": (29, 9), "BIGNUMERIC": (20, 18)}
_WIDER: Final = {"NUMERIC": ("INT64",), "BIGNUMERIC": ("INT64", "NUMERIC")}
_TEXTS: Final = frozenset({"STRING", "DATE", "DATETIME", "TIMESTAMP"})
_DAY: Final = re.compile(DAY, re.ASCII)
_CLOCK: Final = re.compile(rf"{DAY}[Tt ]{CLOCK}(?P<offset>{OFFSET})?", re.ASCII)
_NANOSECONDS: Final = re.compile(r"\.[0-9]{6}0*[1-9]", re.ASCII)
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)


def kind_of(value: Any) -> str:
    """Return the type of a value that is not null; NUMBER, OBJECT and LIST stand for those that have several."""
    if isinstance(value, str):
        return _kind_of_text(value)
    if isinstance(value, bool):
        return "BOOL"
    if isinstance(value, int | float | Decimal):
        return NUMBER
    if isinstance(value, Mapping):
        return OBJECT
    if isinstance(value, datetime):
        return "DATETIME" if value.tzinfo is None else "TIMESTAMP"
    if isinstance(value, date):
        return "DATE"
    if isinstance(value, time):
        return "TIME"
    return "BYTES" if isinstance(value, bytes) else LIST


def column_for(name: str, values: Iterable[Any], *, records: bool = False, depth: int = 0) -> Column:
    """Return the narrowest column that holds all the values, of which none is null. `records`: objects have fields."""
    values = list(values)
    kinds = {kind_of(value) for value in values}
    if kinds == {NUMBER}:
        return Column(name, _number_type(values))
    if len(kinds) > 1:
        return Column(name, "STRING" if kinds <= _TEXTS else JSON)
    (kind,) = kinds
    if kind != OBJECT:
        return Column(name, JSON if kind == LIST else kind)
    fields = _fields(values, depth) if records and depth < DEPTH_MAX else ()
    return Column(name, "STRUCT", fields=fields) if fields else Column(name, JSON)


def checker(column: Column) -> Callable[[Any], bool]:
    """Return a test whether the column returns a value, which is not null, unchanged."""
    if column.mode == "REPEATED":
        single = checker(Column(column.name, column.type, fields=column.fields))
        return lambda value: (
            isinstance(value, list | tuple) and all(each is not None and single(each) for each in value)
        )
    if column.bounds:
        plain = checker(replace(column, bounds=()))
        return lambda value: plain(value) and _keeps(column, value)
    name = type_name(column)
    if name == JSON:
        return lambda _: True
    if name == "STRING":
        return lambda value: isinstance(value, str)
    if name == "INT64":
        return _is_int64
    if name in _DIGITS:
        return lambda value: kind_of(value) == NUMBER and _has_digits(value, name)
    if name == "FLOAT64":
        return lambda value: kind_of(value) == NUMBER and Decimal(str(float(value))) == Decimal(str(value))
    if name == "STRUCT":
        inner = {field.name: checker(field) for field in column.fields}
        return lambda value: (
            isinstance(value, Mapping)
            and all(each is None or (key in inner and inner[key](each)) for key, each in value.items())
        )
    if name in {"TIME", "BYTES", "INTERVAL"}:
        return lambda value: kind_of(value) == name or (isinstance(value, str) and _converts(column, value))
    return lambda value: kind_of(value) == name


def holds(column: Column, field: Column) -> bool:
    """Whether a table's column takes a field of a file that has types; each value is still looked at when it loads."""
    name, kind = type_name(column), type_name(field)
    if column.mode == "REPEATED":
        return False
    if name == "STRUCT":
        return kind == name and [*map(_shape, column.fields)] == [*map(_shape, field.fields)]
    return name in {kind, JSON} or kind in _WIDER.get(name, ())


def _shape(column: Column) -> tuple[object, ...]:
    return (column.name, type_name(column), *map(_shape, column.fields))


def without_nulls(value: Any) -> Any:
    """Return an object for a record: a field that is null has no value, and may be one that the record lacks."""
    if not isinstance(value, Mapping):
        return value
    return {name: without_nulls(each) for name, each in value.items() if each is not None}


def _kind_of_text(text: str) -> str:
    found = _CLOCK.fullmatch(text)
    if found is None:
        is_day = _DAY.fullmatch(text) is not None and _converts(Column("", "DATE"), text)
        return "DATE" if is_day else "STRING"
    if _NANOSECONDS.search(text) or not _converts(Column("", "TIMESTAMP"), text):
        return "STRING"
    return "DATETIME" if found["offset"] is None else "TIMESTAMP"


def _number_type(values: Sequence[Any]) -> str:
    if all(isinstance(value, int) and value in _INT64 for value in values):
        return "INT64"
    return next((name for name in _DIGITS if all(_has_digits(value, name) for value in values)), JSON)


def _has_digits(value: Any, name: str) -> bool:
    number = Decimal(str(value))
    if not number.is_finite():
        return True  # the load refuses it in any column
    whole, behind = _DIGITS[name]
    digits = number.as_tuple().digits
    zeros = next((place for place, digit in enumerate(reversed(digits)) if digit), len(digits))
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "a finite number has an exponent"
    return not number or (number.adjusted() < whole and -(exponent + zeros) <= behind)


def _is_int64(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and value in _INT64
    return kind_of(value) == NUMBER and _converts(Column("", "INT64"), value)


def _keeps(column: Column, value: Any) -> bool:
    """Whether a column with bounds stores all of a value: no digit is rounded, and it is not too long."""
    if not _converts(column, value):
        return False
    return type_name(column) not in _DIGITS or Decimal(convert(column, value)) == Decimal(str(value))


def _converts(column: Column, value: Any) -> bool:
    try:
        convert(column, value)
    except ValueError:
        return False
    return True


def _fields(values: Sequence[Mapping[str, Any]], depth: int) -> tuple[Column, ...]:
    """Return the fields of a record for these objects; none if their names cannot form a record."""
    found: dict[str, list[Any]] = {}
    for value in values:
        for name, each in value.items():
            if each is not None:
                found.setdefault(name, []).append(each)
    names = {name.lower() for name in found}
    if len(names) != len(found) or len(found) > FIELDS_MAX or not all(map(_FIELD.fullmatch, found)):
        return ()
    fields = tuple(column_for(name, each, records=True, depth=depth + 1) for name, each in found.items())
    return () if any(field.type == JSON for field in fields) else fields  # a load does not read JSON inside a record
