"""Aliases of the SELECT list: GROUP BY, HAVING, QUALIFY and ORDER BY see them before columns, other clauses do not.

DuckDB does it the other way round: a column wins over an alias of the same name, and an alias is visible everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.googlesql.types import Catalog
from convergence.adapters.local.duckdb_sql.names import Names, enclosing
from convergence.errors import StepFailed

_AFTER_GROUPING: Final = ("having", "qualify", "order")
Aliases = Mapping[str, tuple[int, exp.Expr]]  # name in lower case → position in the SELECT list from 1, expression


def resolve_aliases(tree: exp.Expr, catalog: Catalog) -> None:
    """Replace each name that means an alias, where DuckDB would take a column for it.

    Raises:
        StepFailed: two columns have the alias, or an aggregate would hold another.
    """
    names = names_of(tree, catalog)
    for select in reversed(list(tree.find_all(exp.Select))):
        group = select.args.get("group")
        if group is not None:
            _resolve_grouping(select, group)
        for clause in _AFTER_GROUPING:
            if select.args.get(clause) is not None:
                _resolve_expressions(select, select.args[clause], names)


def names_of(tree: exp.Expr, catalog: Catalog) -> Names:
    """Return the names in scope of every node of a statement."""
    return Names(tree, {table: tuple(name.lower() for name, _ in found) for table, found in catalog.items()})


def keep_aliases_out(tree: exp.Expr, catalog: Catalog) -> None:
    """Hide aliases in their own SELECT list, in WHERE and in join conditions.

    Raises:
        StepFailed: a name there that only an alias could mean.
    """
    names = names_of(tree, catalog)
    for column in list(tree.find_all(exp.Column)):
        if isinstance(column.parts[0], exp.Identifier):
            _keep_aliases_out(column, column.parts[0].name.lower(), names)


def _keep_aliases_out(column: exp.Column, name: str, names: Names) -> None:
    hidden = False
    for statement, clause in enclosing(column):
        seen = names.seen_by(statement)
        if hidden and not column.table and name in seen.columns:
            column.set("table", exp.to_identifier(names.source_of(statement, name), quoted=True))
        if seen.has(name) or not seen.complete:
            return
        others = [each for each in statement.selects if each is not clause] if isinstance(statement, exp.Select) else []
        if any(isinstance(each, exp.Alias) and each.alias.lower() == name for each in others):
            if clause.arg_key in {"group", *_AFTER_GROUPING}:
                return
            hidden = True
    if hidden:
        raise StepFailed(
            f"There is no column {column.parts[0].name!r}: an alias is visible in GROUP BY, HAVING, QUALIFY and"
            " ORDER BY only. Repeat its expression, or put it into a subquery."
        )


def _aliases(select: exp.Select) -> dict[str, list[tuple[int, exp.Expr]]]:
    """Return position and expression of each name that the SELECT list gives."""
    found: dict[str, list[tuple[int, exp.Expr]]] = {}
    for position, projection in enumerate(select.expressions, 1):
        if isinstance(projection, exp.Alias):
            found.setdefault(projection.alias.lower(), []).append((position, projection.this))
        elif isinstance(projection, exp.Column | exp.Dot) and not projection.is_star:
            found.setdefault(projection.name.lower(), []).append((position, projection))
    return found


def _meant(select: exp.Select, column: exp.Expr) -> tuple[int, exp.Expr] | None:
    """Return what an unqualified name means in the SELECT list; None when that is nothing, or the column itself."""
    if not isinstance(column, exp.Column) or column.table or column.is_star:
        return None
    found = _aliases(select).get(column.name.lower(), [])
    if len({each.sql("bigquery").lower() for _, each in found}) > 1:
        raise StepFailed(f"The name {column.name!r} is ambiguous: two columns of the SELECT list have it.")
    if not found or _is_same(column, found[0][1]):
        return None
    return found[0]


def _is_same(column: exp.Expr, meant: exp.Expr) -> bool:
    return isinstance(meant, exp.Column) and not meant.table and meant.name.lower() == column.name.lower()


def _resolve_grouping(select: exp.Select, group: exp.Expr) -> None:
    stars = [number for number, each in enumerate(select.expressions, 1) if each.is_star]
    for column in list(_grouped(group)):
        meant = _meant(select, column)
        if meant is None:
            continue
        position, expression = meant
        counted = not any(star < position for star in stars)
        column.replace(exp.Literal.number(position) if counted else expression.copy())


def _grouped(group: exp.Expr) -> Iterator[exp.Expr]:
    """Yield what is alone in GROUP BY, within ROLLUP, CUBE, GROUPING SETS and brackets too."""
    parts = [group.this] if isinstance(group, exp.Paren) else group.expressions
    parts = [*parts, *(each for key in ("rollup", "cube", "grouping_sets") for each in group.args.get(key) or [])]
    for part in parts:
        if isinstance(part, exp.Rollup | exp.Cube | exp.GroupingSets | exp.Tuple | exp.Paren):
            yield from _grouped(part)
        else:
            yield part


def _resolve_expressions(select: exp.Select, clause: exp.Expr, names: Names) -> None:
    for column in list(clause.find_all(exp.Column)):
        if isinstance(column.parent, exp.Ordered) and column.parent.parent is clause:
            _meant(select, column)  # an alias alone in ORDER BY: DuckDB takes it too
            continue
        if _owner(column, select, names) is not select:
            continue
        meant = _meant(select, column)
        if meant is None:
            continue
        _refuse_nested_aggregates(column, meant[1], clause)
        if names.seen_by(select).has(column.name.lower()) or not names.seen_by(select).complete:
            column.replace(exp.paren(meant[1], copy=True))


def _owner(column: exp.Expr, select: exp.Select, names: Names) -> exp.Expr:
    """Return the query inside `select`, or `select` itself, in whose scope the column is."""
    for statement, _ in enclosing(column):
        if statement is select or names.seen_by(statement).has(column.name.lower()):
            return statement
    return column  # in a derived table, which sees nothing of `select`


def _refuse_nested_aggregates(column: exp.Expr, meant: exp.Expr, clause: exp.Expr) -> None:
    if meant.find(exp.AggFunc) is None:
        return
    parent = column.parent
    while parent is not None and parent is not clause:
        if isinstance(parent, exp.AggFunc) and not isinstance(parent.parent, exp.Window):
            raise StepFailed(
                f"{column.name!r} refers to the alias of an aggregate here, which {parent.sql('bigquery')} cannot"
                " contain: give the alias a name other than the column's."
            )
        parent = parent.parent
