"""Which types combine: GoogleSQL converts numbers, and text literals to dates; DuckDB turns all else into text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import kind_of
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind
from convergence.errors import StepFailed

_NUMBERS: Final = frozenset({"INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64"})
_FROM_TEXT: Final = frozenset({"DATE", "DATETIME", "TIME", "TIMESTAMP"})


def refuse_mixture(values: Iterable[exp.Expr], what: str) -> None:
    """Raise `StepFailed` when values of known types have none in common."""
    kinds: set[str] = set()
    literals = False
    for value in values:
        plain = value.unnest()
        kind = kind_of(value)
        if not kind or isinstance(plain, exp.Null | exp.Parameter | exp.Placeholder):
            continue
        if isinstance(plain, exp.Array) and not plain.expressions:
            continue
        if isinstance(plain, exp.Literal) and plain.is_string:
            literals = True
            continue
        kinds.add("a number" if kind in _NUMBERS else kind)
    if literals and not kinds <= _FROM_TEXT:
        kinds.add("STRING")
    if len(kinds) > 1:
        raise StepFailed(f"{what} of {' and '.join(sorted(kinds))} is not possible: CAST one of them.")


def meet(values: Sequence[exp.Expr], what: str) -> None:
    """Refuse a mixture; put text literals into the type of the date or time that they meet."""
    refuse_mixture(values, what)
    kind = next((kind_of(value) for value in values if kind_of(value) in _FROM_TEXT), "")
    for value in values:
        if kind and isinstance(value, exp.Literal) and value.is_string:
            value.replace(as_kind(value.copy(), kind))
