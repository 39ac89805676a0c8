"""Statements that can be written in several ways, brought into the one that the rest of the translation reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.pivots import expand_pivots
from convergence.errors import StepFailed


def shape(tree: exp.Expr) -> exp.Expr:
    """Return the statement in its plain form.

    Raises:
        StepFailed: a clause that has no meaning here, by name.
    """
    if any(table.args.get("version") is not None for table in tree.find_all(exp.Table)):
        raise StepFailed("FOR SYSTEM_TIME AS OF cannot run here: the embedded warehouse keeps no earlier versions.")
    expand_pivots(tree)
    change = _SHAPES.get(type(tree))
    return tree if change is None else change(tree)


def _delete(tree: exp.Expr) -> exp.Expr:
    """DELETE t … is DELETE FROM t …"""
    tables = tree.args.get("tables")
    if tables:
        tree.set("this", tables[0])
        tree.set("tables", None)
    return tree


def _create(tree: exp.Expr) -> exp.Expr:
    """CLONE and COPY are copies; a materialized view is a view; keys that are not enforced go."""
    clone = tree.args.get("clone")
    if clone is not None:
        tree.set("clone", None)
        tree.set("expression", exp.select("*").from_(clone.this))
    properties = tree.args.get("properties")
    if properties is not None:
        kept = [each for each in properties.expressions if isinstance(each, exp.TemporaryProperty | exp.LikeProperty)]
        tree.set("properties", exp.Properties(expressions=kept) if kept else None)
    if isinstance(tree.this, exp.Schema):
        columns = [each for each in tree.this.expressions if isinstance(each, exp.ColumnDef | exp.Identifier)]
        tree.this.set("expressions", columns)
        for column in columns:
            if isinstance(column, exp.ColumnDef):
                column.set("constraints", [each for each in column.args.get("constraints") or [] if _is_checked(each)])
    return tree


def _is_checked(constraint: exp.Expr) -> bool:
    return isinstance(constraint.args.get("kind"), exp.NotNullColumnConstraint | exp.DefaultColumnConstraint)


def _alter(tree: exp.Expr) -> exp.Expr:
    """OPTIONS describe, they change nothing here; a new name has no dataset of its own."""
    kept = [each for each in tree.args["actions"] if not isinstance(each, exp.AlterSet)]
    for action in kept:
        if isinstance(action, exp.AlterRename):
            action.set("this", exp.to_identifier(action.this.name, quoted=True))
    tree.set("actions", kept)
    return tree


def _merge(tree: exp.Expr) -> exp.Expr:
    """INSERT ROW is DuckDB's INSERT *; DELETE and UPDATE are words that DuckDB knows."""
    for when in tree.args["whens"].expressions:
        then = when.args["then"]
        if isinstance(then, exp.Insert) and isinstance(then.this, exp.Var) and then.this.name.upper() == "ROW":
            then.set("this", exp.Star())
    return tree


_SHAPES: Final[Mapping[type[exp.Expr], Callable[[exp.Expr], exp.Expr]]] = {
    exp.Delete: _delete,
    exp.Create: _create,
    exp.Alter: _alter,
    exp.Merge: _merge,
}
