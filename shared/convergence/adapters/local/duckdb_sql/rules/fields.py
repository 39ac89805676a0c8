"""The fields of structs by position: a literal's own, or taken out of a value."""

from __future__ import annotations

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import function, kind_of
from convergence.errors import StepFailed


def struct_kind(node: exp.Expr) -> str:
    """Return STRUCT when a value is one, '' when it is not or that is not known."""
    return "STRUCT" if _literal_fields(node) is not None or kind_of(node) == "STRUCT" else ""


def paired_fields(left: exp.Expr, right: exp.Expr) -> list[tuple[exp.Expr, exp.Expr]]:
    """Return the fields of two structs that are used at the same place.

    Raises:
        StepFailed: their numbers of fields differ, or neither is known.
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


def names_of(node: exp.Expr) -> list[str] | None:
    """Return the names of a struct's fields, '' for one without; None when it is not known to be a struct."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Anonymous) and str(node.this).lower() == "row":
        return [""] * len(node.expressions)
    if isinstance(node, exp.Tuple):
        return [""] * len(node.expressions)
    if isinstance(node, exp.Struct):
        return [each.alias_or_name if isinstance(each, exp.Alias) else _field_name(each) for each in node.expressions]
    kind = node.type
    if kind_of(node) != "STRUCT" or kind is None or not kind.expressions:
        return None
    return [each.name if isinstance(each, exp.ColumnDef) else "" for each in kind.expressions]


def _field_name(field: exp.Expr) -> str:
    return field.this.name if isinstance(field, exp.PropertyEQ) else field.name


def without_names(value: exp.Expr, count: int) -> exp.Expr:
    """Return a struct with unnamed fields: it fits by position."""
    plain = value.this if isinstance(value, exp.Paren) else value
    if isinstance(plain, exp.Struct):
        fields = [each.expression if isinstance(each, exp.PropertyEQ) else each for each in plain.expressions]
        return function("row", *(each.this if isinstance(each, exp.Alias) else each for each in fields))
    bound = exp.to_identifier("our_s")
    column = exp.Column(this=bound)
    parts = [function("struct_extract_at", column.copy(), exp.Literal.number(n)) for n in range(1, count + 1)]
    is_null = exp.Is(this=column.copy(), expression=exp.Null())
    each = exp.If(this=is_null, true=exp.Null(), false=function("row", *parts))
    listed = function("list_value", value.copy())
    lambda_ = exp.Lambda(this=each, expressions=[bound.copy()], colon=True)
    return function("list_extract", function("list_transform", listed, lambda_), exp.Literal.number(1))


def fit_fields(value: exp.Expr, target: exp.DataType) -> exp.Expr | None:
    """Return a struct, or an array of structs, that fits a type by position; None where names and order are the type's.

    Raises:
        StepFailed: another number of fields, or an array of other names that is not written out.
    """
    if target.this is exp.DataType.Type.ARRAY and target.expressions:
        return _fit_elements(value, target.expressions[0])
    names, expected = names_of(value), _lowered(target)
    if target.this is not exp.DataType.Type.STRUCT or names is None or not any(names):
        return None
    if [name.lower() for name in names] == expected:
        return None
    if len(names) != len(expected):
        raise StepFailed(f"A struct of {len(names)} fields cannot be cast to one of {len(expected)}.")
    return without_names(value, len(names))


def _fit_elements(value: exp.Expr, target: exp.DataType) -> exp.Expr | None:
    if isinstance(value, exp.Array) and not any(isinstance(each, exp.Query) for each in value.expressions):
        fitted = [fit_fields(each, target) for each in value.expressions]
        pairs = zip(fitted, value.expressions, strict=True)
        changed = exp.Array(expressions=[(new if new is not None else old).copy() for new, old in pairs])
        return changed if any(each is not None for each in fitted) else None
    kind = value.type.expressions[0] if kind_of(value) == "ARRAY" and value.type and value.type.expressions else None
    if isinstance(kind, exp.DataType) and any(_lowered(kind)) and _lowered(kind) != _lowered(target):
        raise StepFailed(
            "An array of structs whose fields have different names cannot be used here; give them the same names."
        )
    return None


def _lowered(kind: exp.DataType) -> list[str]:
    return [each.name.lower() if isinstance(each, exp.ColumnDef) else "" for each in kind.expressions]
