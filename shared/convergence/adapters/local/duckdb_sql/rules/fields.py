"""The fields of structs by position: a literal's own, or taken out of a value."""

from __future__ import annotations

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import function, kind_of
from convergence.errors import StepFailed


def struct_kind(node: exp.Expr) -> str:
    """Return STRUCT when a value is one, '' when it is not or that is not known."""
    return "STRUCT" if _literal_fields(node) is not None or kind_of(node) == "STRUCT" else ""


def paired_fields(left: exp.Expr, right: exp.Expr) -> list[tuple[exp.Expr, exp.Expr]]:
    """Return the fields of two structs that stand at the same place.

    Raises:
        StepFailed: they have not the same number of fields, or that of neither is known.
    """
    counts = {count for side in (left, right) if (count := _count(side))}
    if len(counts) != 1:
        numbers = " and ".join(map(str, sorted(counts)))
        raise StepFailed(f"Structs of {numbers or 'unknown'} fields cannot be compared.")
    [count] = counts
    return list(zip(_fields(left, count), _fields(right, count), strict=True))


def _count(node: exp.Expr) -> int:
    literal = _literal_fields(node)
    if literal is not None:
        return len(literal)
    return len(node.type.expressions) if kind_of(node) == "STRUCT" and node.type is not None else 0


def _fields(node: exp.Expr, count: int) -> list[exp.Expr]:
    literal = _literal_fields(node)
    if literal is not None:
        return [field.copy() for field in literal]
    kinds = node.type.expressions if kind_of(node) == "STRUCT" and node.type is not None else []
    found = []
    for number in range(1, count + 1):
        field = function("struct_extract_at", node.copy(), exp.Literal.number(number))
        if kinds:
            kind = kinds[number - 1]
            field.type = kind.args["kind"] if isinstance(kind, exp.ColumnDef) else kind
        found.append(field)
    return found


def _literal_fields(node: exp.Expr) -> list[exp.Expr] | None:
    """Return the fields of a struct that is written out, None when it is another expression."""
    while isinstance(node, exp.Paren):
        node = node.this
    is_row = isinstance(node, exp.Anonymous) and str(node.this).lower() == "row"
    if not is_row and not isinstance(node, exp.Tuple | exp.Struct):
        return None
    return [_value(each) for each in node.expressions]


def _value(field: exp.Expr) -> exp.Expr:
    value: exp.Expr = field.expression if isinstance(field, exp.PropertyEQ) else field.unalias()
    return value
