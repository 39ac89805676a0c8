"""The columns of a Parquet file, with the types that its writer gave them; equal on a laptop and on Google Cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from convergence.adapters.googlesql.types import SqlType, described
from convergence.adapters.parquet.footer import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    INT96,
    REPEATED,
    Field,
    read_footer,
)
from convergence.errors import InvalidInput, SchemaMismatch
from convergence.ports.warehouse import Column, RowFile

_WHOLE_DIGITS, _PLACES = 29, 9  # of a NUMERIC, before the decimal point and after it
_ANNOTATED: Final = {
    "STRING": "STRING",
    "ENUM": "STRING",
    "UUID": "STRING",
    "JSON": "JSON",
    "DATE": "DATE",
    "TIME": "TIME",
    "INTERVAL": "INTERVAL",
    "FLOAT16": "FLOAT64",
}
_PHYSICAL: Final = {
    BOOLEAN: "BOOL",
    INT32: "INT64",
    INT64: "INT64",
    INT96: "TIMESTAMP",
    FLOAT: "FLOAT64",
    DOUBLE: "FLOAT64",
}
_JSON: Final = SqlType("JSON")


def parquet_columns(file: Path) -> tuple[Column, ...]:
    """Return the columns in the file's order; a DECIMAL is a NUMERIC, or a BIGNUMERIC where it has more digits.

    Raises:
        InvalidInput: the file does not exist, or is not Parquet.
    """
    try:
        found = read_footer(file).columns
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read as Parquet: {error}") from error
    return tuple(described(field.name, _type(field)) for field in found)


def columns_of(file: RowFile) -> tuple[Column, ...]:
    """Return the columns of a delivered file. Raises `SchemaMismatch` for one that is not Parquet."""
    try:
        return parquet_columns(file.path)
    except InvalidInput as error:
        reason = str(error.__cause__)
        raise SchemaMismatch(f"{file.name}: it cannot be read as Parquet: {reason}.") from error


def _type(field: Field) -> SqlType:
    kind = _single(field)
    return _list_of(kind) if field.repetition == REPEATED else kind


def _single(field: Field) -> SqlType:
    """Return the type of one value of the field."""
    if field.logical == "LIST" and len(field.fields) == 1:
        return _list_of(_element(field.name, field.fields[0]))
    if field.logical == "MAP":
        return _JSON
    if field.physical is None:
        return SqlType("STRUCT", tuple((each.name, _type(each)) for each in field.fields))
    if field.logical == "DECIMAL":
        whole = field.precision - field.scale
        return SqlType("NUMERIC" if field.scale <= _PLACES and whole <= _WHOLE_DIGITS else "BIGNUMERIC")
    if field.logical == "TIMESTAMP":
        return SqlType("TIMESTAMP" if field.utc else "DATETIME")
    return SqlType(_ANNOTATED.get(field.logical) or _PHYSICAL.get(field.physical, "BYTES"))


def _element(name: str, repeated: Field) -> SqlType:
    """Return the type of a list's elements; older writers leave out the group around them ("Backward-compatibility
    rules" of the format)."""
    is_element = len(repeated.fields) != 1 or repeated.name in {"array", f"{name}_tuple"}
    return _single(repeated) if is_element else _type(repeated.fields[0])


def _list_of(element: SqlType) -> SqlType:
    return _JSON if element.name == "ARRAY" else SqlType("ARRAY", (("", element),))  # no table has lists in lists
