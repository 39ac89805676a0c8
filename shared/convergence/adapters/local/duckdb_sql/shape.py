"""Statements that can be written in several ways, brought into the one that the rest of the translation reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.column_bounds import IS_COPY
from convergence.adapters.local.duckdb_sql.pivots import expand_pivots
from convergence.errors import StepFailed


def shape(tree: exp.Expr) -> exp.Expr:
    """Return the statement in its plain form.

    Raises:
        StepFailed: a clause that has no meaning here, by name.
    """
    if any(table.args.get("version") is not None for table in tree.find_all(exp.Table)):
        raise StepFailed("FOR SYSTEM_TIME AS OF cannot run here: the embedded warehouse keeps no earlier versions.")
    for operation in tree.find_all(exp.SetOperation):
        _refuse_by_name(operation)
    expand_pivots(tree)
    for select in list(tree.find_all(exp.Select)):
        _value_table(select)
        _join_arrays(select)
    change = _SHAPES.get(type(tree))
    return tree if change is None else change(tree)


def _refuse_by_name(operation: exp.SetOperation) -> None:
    """UNION ALL BY NAME of the same columns is all that DuckDB has of it."""
    modes = any(operation.args.get(each) for each in ("side", "kind", "on"))
    if modes or (operation.args.get("by_name") and not isinstance(operation, exp.Union)):
        what = "modes and lists of columns" if modes else type(operation).__name__.upper()
        raise StepFailed(f"BY NAME with {what} cannot run here: name the columns in one order in both queries.")


def _join_arrays(select: exp.Select) -> None:
    """JOIN t.list AS x, without UNNEST, is a join with the array of the row; `t` is another source, not a dataset."""
    from_ = select.args.get("from_")
    seen = {_source_name(from_.this)} if from_ is not None else set()
    for join in select.args.get("joins") or []:
        table = join.this
        if isinstance(table, exp.Table) and table.db and table.db.lower() in seen and not table.catalog:
            columns = [exp.to_identifier(table.alias_or_name)]
            array = exp.column(table.this.copy(), table=table.args["db"].copy())
            table.replace(exp.Unnest(expressions=[array], alias=exp.TableAlias(columns=columns)))
        seen.add(_source_name(join.this))


def _source_name(source: exp.Expr) -> str:
    alias = source.args.get("alias")
    name = alias.columns[0].name if isinstance(source, exp.Unnest) and alias and alias.columns else source.alias_or_name
    return str(name).lower()


def _value_table(select: exp.Select) -> None:
    """SELECT AS STRUCT gives one struct where a value is wanted, and its fields as columns in FROM and at the top."""
    if str(select.args.get("kind") or "").upper() != "STRUCT":
        return
    outer: exp.Expr = select
    while isinstance(outer.parent, exp.SetOperation) or (
        isinstance(outer.parent, exp.Subquery) and isinstance(outer.parent.parent, exp.SetOperation | exp.Array)
    ):
        outer = outer.parent
    holder = outer.parent
    is_value = isinstance(holder, exp.Array | exp.In | exp.Exists) or (
        isinstance(holder, exp.Subquery) and not isinstance(holder.parent, exp.From | exp.Join | type(None))
    )
    if is_value and any(each.is_star for each in select.selects):
        raise StepFailed("SELECT AS STRUCT * cannot run here as a value: name the fields.")
    if is_value:
        select.set("expressions", [exp.Struct(expressions=[_field(each) for each in select.expressions])])
    select.set("kind", None)


def _field(projection: exp.Expr) -> exp.Expr:
    name = projection.alias_or_name
    value = projection.this if isinstance(projection, exp.Alias) else projection
    return exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=value.copy()) if name else value.copy()


def _delete(tree: exp.Expr) -> exp.Expr:
    """DELETE t … is DELETE FROM t …"""
    tables = tree.args.get("tables")
    if tables:
        tree.set("this", tables[0])
        tree.set("tables", None)
    return tree


def _create(tree: exp.Expr) -> exp.Expr:
    """CLONE and COPY are copies; a materialized view is a view; keys that are not enforced are dropped."""
    clone = tree.args.get("clone")
    if clone is not None:
        tree.meta[IS_COPY] = True
        tree.set("clone", None)
        tree.set("expression", exp.select("*").from_(clone.this))
    properties = tree.args.get("properties")
    if properties is not None:
        kept = [each for each in properties.expressions if isinstance(each, exp.TemporaryProperty | exp.LikeProperty)]
        tree.set("properties", exp.Properties(expressions=kept) if kept else None)
        if any(isinstance(each, exp.LikeProperty) for each in kept):
            tree.meta[IS_COPY] = True
    if isinstance(tree.this, exp.Schema):
        if tree.args.get("expression") is not None and tree.find(exp.ColumnDef) is not None:
            raise StepFailed("CREATE TABLE with types and AS cannot run here: create the table, then INSERT the rows.")
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
