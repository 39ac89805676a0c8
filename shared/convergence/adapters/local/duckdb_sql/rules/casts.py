"""CAST and SAFE_CAST: the conversions that GoogleSQL has, and the strings that it reads.

DuckDB reads more than that: 'infinity' and 'epoch' as dates, slashes, 24:00:00, offsets it then drops, `1_000`.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import (
    Rule,
    attempt,
    call,
    cast,
    function,
    kind_named,
    kind_of,
    text,
    typed,
)
from convergence.adapters.local.duckdb_sql.rules.fields import fit_fields
from convergence.errors import StepFailed

_DECIMALS: Final = frozenset({"NUMERIC", "BIGNUMERIC"})
_NUMBERS: Final = _DECIMALS | {"INT64", "FLOAT64"}
_RANGES: Final = frozenset(kind for kind in exp.DataType.Type if "RANGE" in kind.value)
# GoogleSQL: "Conversion rules", what each type can be cast to besides itself and STRING.
_TARGETS: Final[Mapping[str, frozenset[str]]] = {
    "INT64": _NUMBERS | {"BOOL"},
    "NUMERIC": _NUMBERS,
    "BIGNUMERIC": _NUMBERS,
    "FLOAT64": _NUMBERS,
    "BOOL": frozenset({"INT64"}),
    "STRING": _NUMBERS | {"BOOL", "BYTES", "DATE", "DATETIME", "TIME", "TIMESTAMP"},
    "BYTES": frozenset(),
    "DATE": frozenset({"DATETIME", "TIMESTAMP"}),
    "DATETIME": frozenset({"DATE", "TIME", "TIMESTAMP"}),
    "TIME": frozenset(),
    "TIMESTAMP": frozenset({"DATE", "DATETIME", "TIME"}),
    "ARRAY": frozenset(),
    "STRUCT": frozenset(),
    "INTERVAL": frozenset(),
    "JSON": frozenset(),  # INT64(), FLOAT64() and the like read it
}
# The macro of `functions.sql` that reads a string as this type.
_READERS: Final = {
    "INT64": "int64_of",
    "FLOAT64": "float64_of",
    "NUMERIC": "numeric_of",
    "BIGNUMERIC": "bignumeric_of",
    "BOOL": "bool_of",
    "DATE": "date_of",
    "DATETIME": "datetime_of",
    "TIME": "time_of",
    "TIMESTAMP": "timestamp_of",
}
_DAY: Final = r"(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK: Final = r"([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,6})?"
_ZONE: Final = r"[Zz]|( UTC)?[+-](0?[0-9]|1[0-4])(:?[0-5][0-9])?| [A-Za-z][A-Za-z0-9_/+-]*"
# Literals are checked here, once; the macros have the same patterns for values.
_TEXTS: Final = {
    kind: re.compile(pattern, re.ASCII)
    for kind, pattern in {
        "DATE": _DAY,
        "DATETIME": rf"{_DAY}([Tt ]{_CLOCK})?",
        "TIME": _CLOCK,
        "TIMESTAMP": rf"{_DAY}([Tt ]{_CLOCK}({_ZONE})?)?",
    }.items()
}
# A text with a zone by name; an offset may begin with UTC too.
_ZONED: Final = re.compile(r" (?!UTC[+-])[A-Za-z][A-Za-z0-9_/+-]*$", re.ASCII)


def as_text(node: exp.Expr) -> exp.Expr:
    """Return the node as CAST(… AS STRING) writes it: no zeros after the last digit of a number."""
    kind = kind_of(node)
    if kind == "STRING":
        return node
    if kind in _DECIMALS:
        return call("numeric_text", node, kind="STRING")
    if kind == "FLOAT64":
        return call("float_text", node, kind="STRING")
    if kind == "BYTES":
        return function("decode", node, kind="STRING")
    if kind in {"ARRAY", "STRUCT"}:
        raise StepFailed(f"{kind} cannot be cast to STRING; use TO_JSON_STRING.")
    if kind == "JSON":
        return function("json_extract_string", node, text("$"), kind="STRING")
    if kind in {"TIMESTAMP", "DATETIME", "TIME"}:
        return call("moment_text", cast(node, "STRING"), kind="STRING")
    if kind == "INTERVAL":
        return call("interval_text", node, kind="STRING")
    return cast(node, "STRING") if kind else call("text", node, kind="STRING")


def is_moment(written: str, kind: str) -> bool:
    """True for a text that GoogleSQL reads as a date or time of this kind, on a day of the calendar."""
    if _TEXTS[kind].fullmatch(written) is None:
        return False
    if kind == "TIME":
        return True
    year, month, day = (int(part) for part in re.findall("[0-9]+", written)[:3])
    return 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def as_kind(node: exp.Expr, kind: str) -> exp.Expr:
    """Return a value in a type; a text that GoogleSQL does not read as one is an error where it runs."""
    known = kind_of(node)
    if known == kind or isinstance(node, exp.Null):
        return cast(node, kind)
    if known not in {"STRING", ""} or kind not in _READERS:
        return cast(node, kind)
    if isinstance(node, exp.Literal) and kind in _TEXTS and _TEXTS[kind].fullmatch(node.name):
        if kind == "TIMESTAMP" and _ZONED.search(node.name):
            return call("timestamp_of", node, kind=kind)
        written = re.sub("^([0-9-]+)t", r"\1T", node.name)
        return cast(text(re.sub("([0-9])z$", r"\1Z", written)), kind)
    return call(_READERS[kind] if known or kind in _TEXTS else f"to_{kind.lower()}", node, kind=kind)


def as_decimal(node: exp.Expr, kind: str) -> exp.Expr:
    """Return a FLOAT64 in a decimal type; a literal is what is written (DuckDB reads an exponent as DOUBLE)."""
    literal, sign = node.unnest(), ""
    if isinstance(literal, exp.Neg):
        literal, sign = literal.this.unnest(), "-"
    if isinstance(literal, exp.Literal) and not literal.is_string:
        return cast(text(f"{sign}{literal.name}"), kind)
    return call(f"{kind.lower()}_of_float", node, kind=kind)


def _cast(node: exp.Expr) -> exp.Expr:
    return _within_bounds(_converted(node), node.args["to"])


def _within_bounds(value: exp.Expr, target: exp.DataType) -> exp.Expr:
    """NUMERIC(10, 2) rounds to two places and has eight before the point; STRING(20) has twenty characters."""
    bounds = [
        int(each.name) for each in target.expressions if isinstance(each, exp.DataTypeParam) and each.name.isdigit()
    ]
    kind = kind_named(target)
    if not bounds or kind not in _DECIMALS | {"STRING", "BYTES"} or isinstance(value.this, exp.Parameter):
        return value
    if kind not in _DECIMALS:
        return call("within", value.copy(), exp.Literal.number(bounds[0]), kind=kind)
    places = bounds[1] if len(bounds) > 1 else 0
    whole = bounds[0] - places
    plain = exp.Cast(this=value.copy(), to=exp.DataType(this=target.this))
    fits = whole > (28 if kind == "NUMERIC" else 19)  # as many digits as the type has
    limit = cast(exp.null() if fits else text(str(10**whole)), kind)
    return call(f"{kind.lower()}_fitted", plain, exp.Literal.number(places), limit, kind=kind)


def _converted(node: exp.Expr) -> exp.Expr:
    value, target = node.this, node.args["to"]
    if target.this is exp.DataType.Type.INTERVAL and kind_of(value) != "INTERVAL":
        raise StepFailed("CAST AS INTERVAL cannot run here; write INTERVAL 3 DAY.")
    if target.name.upper() == "RANGE" or target.this in _RANGES:
        raise StepFailed("The type RANGE cannot be used here.")
    if isinstance(value, exp.Parameter | exp.Null):
        return node  # a typed placeholder, or NULL of a type
    kind, expected = kind_of(value), kind_named(target)
    if expected in {"STRUCT", "ARRAY"}:
        if (fitted := fit_fields(value, target)) is not None:
            node.set("this", fitted)
        return node
    if kind in _TARGETS and expected not in {"", "STRING", kind} | _TARGETS[kind]:
        raise StepFailed(f"{kind} cannot be cast to {expected}.")
    if expected == "STRING":
        return as_text(value)
    if expected == "BYTES" and kind == "STRING":
        return function("encode", value, kind="BYTES")
    if kind in {"STRING", ""} and expected in _READERS:
        return as_kind(value, expected)
    if expected in _DECIMALS and kind == "FLOAT64":
        return as_decimal(value, expected)
    if expected == "INT64" and kind == "FLOAT64":
        node.set("this", function("round", value, kind="FLOAT64"))  # half away from zero; DuckDB's cast rounds to even
    return node


def _try_cast(node: exp.Expr) -> exp.Expr:
    changed = _cast(exp.Cast(this=node.this, to=node.args["to"]))
    if isinstance(changed, exp.Cast):
        return typed(exp.TryCast(this=changed.this, to=changed.args["to"]), kind_of(changed))
    return typed(attempt(changed), kind_of(changed))


RULES: Final[Mapping[type[exp.Expr], Rule]] = {exp.Cast: _cast, exp.TryCast: _try_cast}
