"""One statement, parsed and checked: what both warehouses ask of every text before it may run."""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from convergence.adapters.googlesql.access import Touched, check_access
from convergence.adapters.googlesql.functions import refuse_unknown
from convergence.adapters.googlesql.parse import parse_statement
from convergence.ports.warehouse import Scope


class Checked(NamedTuple):
    """A statement that may run."""

    tree: exp.Expr
    touched: Touched


def check_statement(sql: str, scope: Scope, *, project: str, temporary: frozenset[str] = frozenset()) -> Checked:
    """Parse a statement and check what it touches.

    Raises:
        StepFailed: it does not parse, is of a kind that may not run, or calls an unknown function.
        Denied: it reaches outside of its scope.
    """
    tree = parse_statement(sql)
    refuse_unknown(tree)
    if isinstance(tree, exp.Delete) and tree.args.get("tables"):  # DELETE t … is DELETE FROM t …
        tree.set("this", tree.args["tables"][0])
        tree.set("tables", None)
    return Checked(tree, check_access(tree, scope, project=project, temporary=temporary))
