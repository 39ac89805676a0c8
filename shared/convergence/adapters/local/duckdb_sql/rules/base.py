"""What the rules share: a node's type by its GoogleSQL name, and calls, casts and literals that carry theirs.

Types are those that `infer` found; '' when unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

Rule = Callable[[exp.Expr], exp.Expr]


def kind_of(node: exp.Expr | None) -> str:
    """Return the GoogleSQL name of a node's type: NUMERIC, STRING, ARRAY, …; '' when it is not known."""
    if isinstance(node, exp.Paren):
        return kind_of(node.this) if node.type is None else kind_named(node.type)
    return kind_named(node.type) if node is not None and node.type is not None else ""


def kind_named(data_type: exp.DataType) -> str:
    """Return the GoogleSQL name of a type, '' when it has none."""
    return _KINDS.get(data_type.this, "")


_T = exp.DataType.Type
_KINDS: Mapping[exp.DType, str] = {
    _T.BIGINT: "INT64",
    _T.INT: "INT64",
    _T.SMALLINT: "INT64",
    _T.TINYINT: "INT64",
    _T.UBIGINT: "INT64",
    _T.DOUBLE: "FLOAT64",
    _T.FLOAT: "FLOAT64",
    _T.DECIMAL: "NUMERIC",
    _T.BIGDECIMAL: "BIGNUMERIC",
    _T.TEXT: "STRING",
    _T.VARCHAR: "STRING",
    _T.BOOLEAN: "BOOL",
    _T.DATE: "DATE",
    _T.DATETIME: "DATETIME",
    _T.TIMESTAMP: "DATETIME",
    _T.TIMESTAMPTZ: "TIMESTAMP",
    _T.TIME: "TIME",
    _T.BINARY: "BYTES",
    _T.VARBINARY: "BYTES",
    _T.JSON: "JSON",
    _T.ARRAY: "ARRAY",
    _T.STRUCT: "STRUCT",
    _T.INTERVAL: "INTERVAL",
}
DATA_TYPES: Mapping[str, exp.DType] = {
    "INT64": _T.BIGINT,
    "FLOAT64": _T.DOUBLE,
    "NUMERIC": _T.DECIMAL,
    "BIGNUMERIC": _T.BIGDECIMAL,
    "STRING": _T.TEXT,
    "BOOL": _T.BOOLEAN,
    "DATE": _T.DATE,
    "DATETIME": _T.DATETIME,
    "TIMESTAMP": _T.TIMESTAMPTZ,
    "JSON": _T.JSON,
    "INTERVAL": _T.INTERVAL,
    "BYTES": _T.BINARY,
    "TIME": _T.TIME,
}


def typed(node: exp.Expr, kind: str) -> exp.Expr:
    """Return the node with its type set; '' leaves it unknown."""
    if kind in DATA_TYPES:
        node.type = exp.DataType(this=DATA_TYPES[kind])
    return node


def call(name: str, *arguments: exp.Expr, kind: str = "") -> exp.Expr:
    """Return a call of a macro of ours (`functions.sql`)."""
    return typed(exp.Anonymous(this=f"googlesql.{name}", expressions=list(arguments)), kind)


def function(name: str, *arguments: exp.Expr, kind: str = "") -> exp.Expr:
    """Return a call of a DuckDB function."""
    return typed(exp.Anonymous(this=name, expressions=list(arguments)), kind)


def cast(node: exp.Expr, kind: str) -> exp.Expr:
    """Return the node cast to a GoogleSQL type."""
    return typed(exp.Cast(this=node, to=exp.DataType(this=DATA_TYPES[kind])), kind)


def text(value: str) -> exp.Expr:
    """Return a string literal."""
    return typed(exp.Literal.string(value), "STRING")


def attempt(node: exp.Expr) -> exp.Expr:
    """Return the node with NULL instead of an error. TRY takes no macro that calls error(), so they have a twin."""
    return typed(exp.Anonymous(this="TRY", expressions=[without_errors(node)]), kind_of(node))


def without_errors(node: exp.Expr) -> exp.Expr:
    """Return the node with our macros replaced by their twins that give NULL instead of an error."""
    for macro in node.find_all(exp.Anonymous):
        if str(macro.this) in _RAISING:
            macro.set("this", f"{macro.this}_or_null")
    return node


_RAISING: Final = {
    f"googlesql.{name}"
    for name in (
        "nonzero", "divide", "numeric_divide", "bignumeric_divide", "int64_of", "bool_of", "element", "finite",
        "sized", "instr", "parse_json", "pattern_group", "float64_of", "numeric_of", "bignumeric_of", "date_of",
        "datetime_of", "time_of", "timestamp_of", "to_int64", "to_float64", "to_numeric", "to_bignumeric",
        "to_bool", "in_range", "shifted", "moved", "date_from_parts", "datetime_from_parts", "time_from_parts",
        "parsed", "int_series", "numeric_series", "date_series", "timestamp_series", "month_dates", "repeated",
        "pad_length", "replaced", "replacement", "bounded", "shift_left", "shift_right", "ascii", "distinct_characters",
        "numeric_fitted", "bignumeric_fitted", "within", "contains_substr",
    )
}  # fmt: skip
