"""Whether a column of a statement's result can go into the column of its table, whatever the rows are."""

from __future__ import annotations

from typing import Final

from convergence.ports.column_values import convert, type_name
from convergence.ports.sql_reader import BoundColumn
from convergence.ports.warehouse import Column

_NUMBERS: Final = frozenset({"INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"})
_MOMENTS: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
# What loads convert to each type (`ports.column_values`). A STRING may hold the text of any value, JSON any value.
_TAKES: Final = {
    **dict.fromkeys(_NUMBERS, _NUMBERS),
    **dict.fromkeys(_MOMENTS, _MOMENTS),
    **{kind: frozenset({kind}) for kind in ("BOOL", "TIME", "BYTES", "INTERVAL", "STRUCT")},
}
_ANY: Final = frozenset({"STRING", "JSON"})


def misfit_of(given: BoundColumn, column: Column) -> str | None:
    """Return why no value of a result's column can go into a table's column; None if some value could."""
    if not given.type:
        return None
    expected = type_name(column)
    if given.text is not None and column.mode != "REPEATED":
        try:
            convert(column, given.text)
        except ValueError:
            return f"the string {given.text[:40]!r} cannot go into the column {column.name!r} of type {expected}"
    kind = given.type.partition("<")[0]
    if column.mode == "REPEATED":
        fits = kind in {"ARRAY", *_ANY}
        expected = f"ARRAY<{expected}>"
    else:
        fits = kind in _ANY or expected not in _TAKES or kind in _TAKES[expected]
    if fits:
        return None
    return f"a value of type {given.type} cannot go into the column {column.name!r} of type {expected}: CAST it"
