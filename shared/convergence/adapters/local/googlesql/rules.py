"""Where GoogleSQL and DuckDB differ: one rule for each node class, applied from the leaves up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from convergence.adapters.local.googlesql.translate import Catalog


def apply_rules(tree: exp.Expr, catalog: Catalog) -> exp.Expr:
    """Return the tree in DuckDB's meaning."""
    return tree
