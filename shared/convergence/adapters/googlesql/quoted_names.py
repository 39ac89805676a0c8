"""Text where a name, or a column to order or group by, is expected: other databases put names in double quotes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlglot import exp

from convergence.errors import StepFailed

_CONSTANTS: Final = (exp.Literal, exp.Boolean, exp.Null)


def refuse_quoted_names(tree: exp.Expr) -> None:
    """Raise `StepFailed` for a text in the place of a name, and for a constant to order or group by."""
    for node in tree.walk():
        for name in _names(node):
            if isinstance(name, exp.Literal) and name.is_string:
                raise StepFailed(text_for_name(name.name))
        if isinstance(node, exp.Order | exp.Group):
            _refuse_constants(node)


def text_for_name(text: str) -> str:
    """Return the message for a text where a name is expected."""
    return f"'{text[:40]}' in quotes is a string, but a name is expected here: {_written(text)}."


def _names(node: exp.Expr) -> Iterable[exp.Expr]:
    """Return the parts of a node that can only be names."""
    match node:
        case exp.Dot():
            return (node.expression,)
        case exp.Join():
            return _several(node, "using")
        case exp.Star():
            return _several(node, "except_")
        case exp.Schema():
            return (each.this if isinstance(each, exp.ColumnDef) else each for each in node.expressions)
        case exp.ColumnDef() | exp.Column():
            return (node.this,)
        case exp.Update():
            return (each.this for each in node.expressions if isinstance(each, exp.EQ))
        case exp.Insert() if isinstance(node.this, exp.Tuple):  # of a MERGE
            return node.this.expressions
    return ()


def _several(node: exp.Expr, part: str) -> Sequence[exp.Expr]:
    found: Sequence[exp.Expr] = node.args.get(part) or ()
    return found


def _refuse_constants(clause: exp.Expr) -> None:
    """The order of a query, not that of a window or an aggregate, where a constant is allowed."""
    if isinstance(clause, exp.Order) and not isinstance(clause.parent, exp.Select | exp.SetOperation | exp.Subquery):
        return
    words = "ORDER BY" if isinstance(clause, exp.Order) else "GROUP BY"
    for each in clause.expressions:
        value = (each.this if isinstance(each, exp.Ordered) else each).unnest()
        if not isinstance(value, _CONSTANTS) or (isinstance(value, exp.Literal) and value.is_int):
            continue
        if isinstance(value, exp.Literal) and value.is_string:
            raise StepFailed(f"{words} '{value.name[:40]}': this is a string, not a column: {_written(value.name)}.")
        raise StepFailed(f"{words} {value.sql('bigquery')}: this is a constant; name a column, or give its number.")


def _written(text: str) -> str:
    return f"write it without quotes or in backticks, `{text[:40]}`"
