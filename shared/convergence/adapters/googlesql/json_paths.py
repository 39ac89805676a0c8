"""JSONPaths as they are written: the parser accepts more than BigQuery, and its tree does not show the difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

Make = Callable[[list[exp.Expr], Dialect], exp.Expr]
_STANDARD: Final = ("JSON_VALUE", "JSON_QUERY", "JSON_VALUE_ARRAY", "JSON_QUERY_ARRAY")
_LEGACY: Final = ("JSON_EXTRACT", "JSON_EXTRACT_SCALAR", "JSON_EXTRACT_ARRAY", "JSON_EXTRACT_STRING_ARRAY")
_WRITTEN: Final = "convergence.json_path"


def with_paths(functions: dict[str, Callable[..., exp.Expr]]) -> dict[str, Callable[..., exp.Expr]]:
    """Return the JSON functions that take a path, each keeping the one that is written in a call."""
    return {name: _keeping(name, functions[name]) for name in _STANDARD + _LEGACY}


def written_path(node: exp.Expr) -> tuple[str, str, bool] | None:
    """Return a call's function, its path and whether that is of the older kind; None when none is written."""
    found: tuple[str, str, bool] | None = node.meta.get(_WRITTEN)
    return found


def _keeping(name: str, make: Make) -> Make:
    def made(args: list[exp.Expr], dialect: Dialect) -> exp.Expr:
        path = args[1] if len(args) > 1 else None
        node = make(args, dialect)
        if isinstance(path, exp.Literal):
            node.meta[_WRITTEN] = (name, path.name, name in _LEGACY)
        return node

    return made
