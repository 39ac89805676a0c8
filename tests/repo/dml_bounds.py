"""Whether a change of rows is bounded by the partitions of its table: else BigQuery reads and bills all of them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp, parse_one

_BOUNDS = (exp.Between, exp.EQ, exp.In)


def changes_of(sql: str) -> Iterator[tuple[str, exp.Expr]]:
    """Yield (table, statement) if a statement changes rows that are there."""
    tree = parse_one(sql, read="bigquery")
    if isinstance(tree, exp.Delete | exp.Update | exp.Merge):
        yield tree.this.name, tree


def is_bounded(tree: exp.Expr, column: str) -> bool:
    """Return whether a statement only changes rows whose `column` it compares with values that are known before."""
    if isinstance(tree, exp.Merge):
        removing = [each for each in tree.args["whens"].expressions if each.args.get("source")]
        if removing:  # rows that no row of the source matches: all of the table but for this condition
            return all(_bounds(each.args.get("condition"), column) for each in removing)
        return _bounds(tree.args["on"], column)
    where = tree.args.get("where")
    return where is not None and _bounds(where.this, column)


def _bounds(condition: exp.Expr | None, column: str) -> bool:
    if condition is None:
        return False
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    return any(_bound(part.unnest(), column) for part in parts)


def _bound(part: exp.Expr, column: str) -> bool:
    if isinstance(part, exp.Boolean):
        return not part.this
    if not isinstance(part, _BOUNDS):
        return False
    left, *others = part.iter_expressions()
    return isinstance(left, exp.Column) and left.name == column and not any(_reads_rows(each) for each in others)


def _reads_rows(value: exp.Expr) -> bool:
    """A name without a table may be a variable of a procedure, whose names begin with p_ or v_, or of ours."""
    known = ("p_", "v_", "convergence_")
    names = (each.parts[0].name for each in value.find_all(exp.Column))
    return value.find(exp.Query) is not None or any(not name.startswith(known) for name in names)
