"""Arrays: positions, UNNEST in all its forms, aggregates into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, function, kind_named, kind_of, typed
from convergence.adapters.local.duckdb_sql.rules.structs import fit_elements
from convergence.errors import StepFailed

UNNAMED: Final = "unnamed"  # metadata of an UNNEST without an alias: the name of its elements in the answer
_MAY_SPREAD: Final = frozenset({exp.DataType.Type.STRUCT, exp.DataType.Type.UNKNOWN})


def _element(node: exp.Expr) -> exp.Expr:
    """arr[OFFSET(i)] beyond the end is an error, arr[SAFE_OFFSET(i)] is NULL; json['key'] is a fragment."""
    if len(node.expressions) != 1:
        raise StepFailed("A subscript must be a single position.")
    [index] = node.expressions
    if kind_of(node.this) == "JSON" or (isinstance(index, exp.Literal) and index.is_string):
        return function("json_extract", node.this, _json_step(index), kind="JSON")
    position = index
    if node.args.get("offset") != 1:
        position = exp.Add(this=exp.Paren(this=index), expression=exp.Literal.number(1))
        if isinstance(index, exp.Literal) and index.is_int:
            position = exp.Literal.number(int(index.name) + 1)
    if node.args.get("safe"):
        positive = exp.If(this=exp.GT(this=position.copy(), expression=exp.Literal.number(0)), true=position)
        found: exp.Expr = function("list_extract", node.this, positive)
    else:
        found = call("element", node.this, position)
    element = node.this.type.expressions[0] if kind_of(node.this) == "ARRAY" and node.this.type.expressions else None
    found.type = element or node.type
    return found


def _json_step(index: exp.Expr) -> exp.Expr:
    if isinstance(index, exp.Literal):
        return exp.Literal.string(f'$."{index.name}"' if index.is_string else f"$[{index.name}]")
    raise StepFailed("A JSON subscript has to be a literal here.")


def _unnest(node: exp.Expr) -> exp.Expr:
    """UNNEST as a source. Elements that are structs spread into columns; WITH OFFSET counts from 0.

    An alias names the element: `x`, and its fields as `x.key` or `key`. Without an alias only the fields have names.
    """
    if not isinstance(node.parent, exp.From | exp.Join):
        return node
    if len(node.expressions) != 1:
        raise StepFailed("UNNEST takes one array.")
    [array] = node.expressions
    alias = node.args.get("alias")
    name = alias.columns[0].name if alias is not None and alias.columns else ""
    spread = not name or _holds_structs(array)
    arguments: list[exp.Expr] = [array]
    if spread:
        arguments.append(exp.PropertyEQ(this=exp.to_identifier("max_depth"), expression=exp.Literal.number(2)))
    element: exp.Expr = function("unnest", *arguments)
    if not spread:
        element = exp.alias_(element, name, quoted=True)
    elif UNNAMED in node.meta and _holds_scalars(array):
        element = exp.alias_(function("unnest", array), node.meta[UNNAMED], quoted=True)
    columns = [element]
    offset = node.args.get("offset")
    if offset:
        counted = exp.Sub(
            this=function("generate_subscripts", array.copy(), exp.Literal.number(1)), expression=exp.Literal.number(1)
        )
        columns.append(
            exp.alias_(counted, offset.name if isinstance(offset, exp.Identifier) else "offset", quoted=True)
        )
    fresh = exp.Subquery(this=exp.Select(expressions=columns))
    fresh.set("alias", exp.TableAlias(this=exp.to_identifier(name or "_unnested", quoted=True)))
    return fresh


def _holds_scalars(array: exp.Expr) -> bool:
    kind = array.type
    element = kind.expressions[0] if kind is not None and kind.expressions else None
    return isinstance(element, exp.DataType) and element.this not in _MAY_SPREAD


def _holds_structs(array: exp.Expr) -> bool:
    kind = array.type
    if kind is not None and kind.this is exp.DataType.Type.ARRAY and kind.expressions:
        return bool(kind.expressions[0].this is exp.DataType.Type.STRUCT)
    inner = array.expressions[0] if isinstance(array, exp.Array) and array.expressions else None
    return isinstance(inner, exp.Struct | exp.Tuple)


def _aggregate(node: exp.Expr) -> exp.Expr:
    """ARRAY_AGG and STRING_AGG with LIMIT: the limit cuts the finished list."""
    argument, limit = node.this, None
    if isinstance(argument, exp.Limit):
        limit, argument = argument.expression, argument.this
    elif isinstance(argument, exp.Order) and isinstance(argument.this, exp.Limit):
        raise StepFailed("LIMIT must follow ORDER BY in an aggregate.")
    node.set("this", argument)
    if isinstance(node, exp.ArrayAgg):
        _refuse_arrays([_value_of(argument)])
    if limit is None:
        return node
    if isinstance(node, exp.ArrayConcatAgg):
        present = exp.Where(this=exp.Not(this=exp.Is(this=_value_of(argument).copy(), expression=exp.Null())))
        filtered = exp.Filter(this=exp.ArrayAgg(this=argument.copy()), expression=present)
        return function("flatten", function("list_slice", filtered, exp.Literal.number(1), limit))
    if isinstance(node, exp.ArrayAgg):
        return typed(function("list_slice", node.copy(), exp.Literal.number(1), limit), "")
    separator = node.args.get("separator") or exp.Literal.string(",")
    listed = exp.ArrayAgg(this=argument.copy())
    return function(
        "array_to_string", function("list_slice", listed, exp.Literal.number(1), limit), separator.copy(), kind="STRING"
    )


def _concat(node: exp.Expr) -> exp.Expr:
    """ARRAY_CONCAT is NULL when an array is; DuckDB takes that for an empty one."""
    arrays = [node.this, *node.expressions]
    joined: exp.Expr = arrays[0]
    for array in arrays[1:]:
        joined = call("array_concat", joined, array)
    joined.type = node.type
    return joined


def _elements(node: exp.Expr) -> exp.Expr:
    """An array literal: structs fit by position, and no element is an array."""
    _refuse_arrays(node.expressions)
    return fit_elements(node)


def _refuse_arrays(elements: list[exp.Expr]) -> None:
    if "ARRAY" in {kind_of(element) for element in elements}:
        raise StepFailed("An array cannot hold arrays: put each into a struct.")


def _to_string(node: exp.Expr) -> exp.Expr:
    kind = node.this.type
    element = kind_named(kind.expressions[0]) if kind_of(node.this) == "ARRAY" and kind.expressions else ""
    if element not in {"STRING", ""} and not (isinstance(node.this, exp.Array) and not node.this.expressions):
        raise StepFailed(f"ARRAY_TO_STRING takes an array of STRING here, not of {element}.")
    return node


def _value_of(argument: exp.Expr) -> exp.Expr:
    """Return what an aggregate collects, without ORDER BY and DISTINCT."""
    while isinstance(argument, exp.Order | exp.Distinct):
        argument = argument.this if isinstance(argument, exp.Order) else argument.expressions[0]
    return argument


def _ignore_nulls(node: exp.Expr) -> exp.Expr:
    """ARRAY_AGG(x IGNORE NULLS …): a filter, on x alone."""
    inner = node.this
    limit = None
    if isinstance(inner, exp.Anonymous) and str(inner.this) == "list_slice":
        inner, limit = inner.expressions[0], inner.expressions[2]
    if not isinstance(inner, exp.ArrayAgg):
        return node
    value = _value_of(inner.this)
    present = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
    filtered = exp.Filter(this=inner.copy(), expression=exp.Where(this=present))
    return filtered if limit is None else function("list_slice", filtered, exp.Literal.number(1), limit.copy())


def _having(node: exp.Expr) -> exp.Expr:
    """ANY_VALUE(x HAVING MAX y)."""
    inner = node.this
    if not isinstance(inner, exp.HavingMax):
        return node
    name = "arg_max" if inner.args.get("max") else "arg_min"
    return function(name, inner.this, inner.expression, kind=kind_of(inner.this))


def _struct(node: exp.Expr) -> exp.Expr:
    """STRUCT(1, 'x') has fields without names, as (1, 'x') has: it fits any struct with two fields."""
    named = [isinstance(field, exp.PropertyEQ | exp.Alias | exp.Column | exp.Dot) for field in node.expressions]
    if not any(named):
        fresh = function("row", *node.expressions)
        fresh.type = node.type
        return fresh
    for number, (field, has_name) in enumerate(zip(list(node.expressions), named, strict=True), 1):
        if not has_name:
            field.replace(exp.PropertyEQ(this=exp.to_identifier(f"_field_{number}"), expression=field.copy()))
    return node


def _quantiles(node: exp.Expr) -> exp.Expr:
    number = node.expression
    if not isinstance(number, exp.Literal) or not number.is_int:
        raise StepFailed("APPROX_QUANTILES needs a literal integer here.")
    parts = int(number.name)
    if parts < 1:
        raise StepFailed("APPROX_QUANTILES takes a number of at least 1.")
    fractions = exp.Array(expressions=[exp.Literal.number(f"{step / parts:.10f}") for step in range(parts + 1)])
    return function("quantile_disc", node.this, fractions)


def _respect_nulls(node: exp.Expr) -> exp.Expr:
    if isinstance(node.this, exp.PercentileCont | exp.PercentileDisc | exp.ApproxQuantiles):
        raise StepFailed("RESPECT NULLS in a quantile cannot run here.")
    return node


def _having_max(node: exp.Expr) -> exp.Expr:
    if not isinstance(node.parent, exp.AnyValue):
        raise StepFailed("HAVING MAX and HAVING MIN are supported in ANY_VALUE only here.")
    return node


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Bracket: _element,
    exp.Unnest: _unnest,
    exp.ArrayAgg: _aggregate,
    exp.GroupConcat: _aggregate,
    exp.ArrayConcatAgg: _aggregate,
    exp.Array: _elements,
    exp.ArrayConcat: _concat,
    exp.ArrayToString: _to_string,
    exp.IgnoreNulls: _ignore_nulls,
    exp.Struct: _struct,
    exp.AnyValue: _having,
    exp.RespectNulls: _respect_nulls,
    exp.HavingMax: _having_max,
    exp.ApproxQuantiles: _quantiles,
}
