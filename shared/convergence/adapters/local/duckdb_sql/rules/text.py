"""Text: casts to and from it, FORMAT, substrings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.patterns import Conversion, format_pieces
from convergence.adapters.local.duckdb_sql.rules.base import Rule, attempt, call, cast, function, kind_of, text, typed
from convergence.errors import StepFailed

_DECIMALS: Final = frozenset({"NUMERIC", "BIGNUMERIC"})
_TEXTS: Final = frozenset({exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR})
_RANGES: Final = frozenset(kind for kind in exp.DataType.Type if "RANGE" in kind.value)
_WHOLE: Final = frozenset({exp.DataType.Type.BIGINT, exp.DataType.Type.INT})


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


def _cast(node: exp.Expr) -> exp.Expr:
    value, target = node.this, node.args["to"].this
    if target is exp.DataType.Type.INTERVAL and kind_of(value) != "INTERVAL":
        raise StepFailed("CAST AS INTERVAL cannot run here; write INTERVAL 3 DAY.")
    if node.args["to"].name.upper() == "RANGE" or target in _RANGES:
        raise StepFailed("The type RANGE cannot be used here.")
    kind = kind_of(value)
    if isinstance(value, exp.Parameter):
        return node  # a typed placeholder
    if target in _TEXTS:
        return as_text(value)
    if kind == "STRING" or value.is_string:
        if target in _WHOLE:
            return call("int64_of", value, kind="INT64")
        if target is exp.DataType.Type.BOOLEAN:
            return call("bool_of", value, kind="BOOL")
        if target in {exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY}:
            return function("encode", value, kind="BYTES")
    if target in _WHOLE and kind == "FLOAT64":
        node.set("this", function("round", value, kind="FLOAT64"))  # half away from zero; DuckDB's cast rounds to even
    return node


def _try_cast(node: exp.Expr) -> exp.Expr:
    changed = _cast(exp.Cast(this=node.this, to=node.args["to"], format=node.args.get("format")))
    if isinstance(changed, exp.Cast):
        return typed(exp.TryCast(this=changed.this, to=changed.args["to"]), kind_of(node))
    return typed(attempt(changed), kind_of(node))


def _format(node: exp.Expr) -> exp.Expr:
    """FORMAT with a literal pattern becomes a concatenation; NULL in, NULL out."""
    pattern = node.this
    if not isinstance(pattern, exp.Literal | exp.RawString):
        raise StepFailed("FORMAT needs a literal pattern here.")
    values = list(node.expressions)
    parts: list[exp.Expr] = []
    for piece in format_pieces(str(pattern.this)):
        if isinstance(piece, str):
            parts.append(text(piece))
        elif not values:
            raise StepFailed(f"FORMAT: {pattern.this!r} asks for more arguments than there are.")
        else:
            parts.append(_converted(piece, values.pop(0)))
    if values:
        raise StepFailed(f"FORMAT: {pattern.this!r} asks for fewer arguments than there are.")
    joined = parts[0] if parts else text("")
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=part)
    return typed(exp.Paren(this=joined), "STRING")


def _converted(piece: Conversion, value: exp.Expr) -> exp.Expr:
    letter = piece.letter
    if letter in "di":
        return _padded(piece, _integer(piece, value))
    if letter in "fFeEgG":
        return _padded(piece, _real(piece, value))
    if letter in "xXo":
        return _padded(piece, function("printf", text(f"%l{letter}"), cast(value, "INT64")))
    if letter == "s":
        written = as_text(value)
        return _padded(
            piece,
            function("left", written, exp.Literal.number(piece.precision)) if piece.precision is not None else written,
        )
    if letter in "tT":
        return _padded(piece, _shown(value, literal=letter == "T"))
    if letter in "pP":
        return cast(value, "STRING")
    raise StepFailed(f"FORMAT: %{letter} cannot be used here.")


def _integer(piece: Conversion, value: exp.Expr) -> exp.Expr:
    number = cast(value, "INT64")
    if "'" in piece.flags:
        return function("format", text("{:,}"), number)
    sign = next((flag for flag in "+ " if flag in piece.flags), "")
    if "0" in piece.flags and piece.width and "-" not in piece.flags:
        return function("printf", text(f"%{sign}0{piece.width}lld"), number)
    return (
        function("printf", text(f"%{sign}lld"), number)
        if sign
        else exp.Cast(this=number, to=exp.DataType.build("TEXT"))
    )


def _real(piece: Conversion, value: exp.Expr) -> exp.Expr:
    places = 6 if piece.precision is None else piece.precision
    if kind_of(value) in _DECIMALS and piece.letter in "fF" and not piece.flags.strip("-"):
        rounded = function("round", value, exp.Literal.number(min(places, 9)))
        return exp.Cast(this=rounded, to=exp.DataType(this=exp.DataType.Type.TEXT))
    if "'" in piece.flags:
        return function("format", text(f"{{:,.{places}f}}"), cast(value, "FLOAT64"))
    flags = piece.flags.replace("-", "")
    width = piece.width if "0" in flags and piece.width else ""
    return function("printf", text(f"%{flags}{width}.{places}{piece.letter}"), cast(value, "FLOAT64"))


def _padded(piece: Conversion, written: exp.Expr) -> exp.Expr:
    if piece.width is None:
        return written
    return call("pad_right" if "-" in piece.flags else "pad_left", written, exp.Literal.number(piece.width))


def _shown(value: exp.Expr, *, literal: bool) -> exp.Expr:
    """%t is the value as text, %T as a literal; NULL is the word."""
    kind, written = kind_of(value), as_text(value)
    if literal and kind in {"BYTES", "JSON", "INTERVAL", "TIME"}:
        raise StepFailed(f"FORMAT: %T of {kind} cannot be used here.")
    if literal and kind == "FLOAT64":
        written = call("float_literal", value, kind="STRING")
    if literal and kind == "STRING":
        written = cast(function("to_json", written), "STRING")
    elif literal and kind in {"DATE", "DATETIME", "TIMESTAMP", "NUMERIC", "BIGNUMERIC"}:
        written = exp.DPipe(this=exp.DPipe(this=text(f'{kind} "'), expression=written), expression=text('"'))
    return exp.Coalesce(this=written, expressions=[text("NULL")])


def _joined(node: exp.Expr) -> exp.Expr:
    """CONCAT and ||: every part as text; arrays stay arrays."""
    parts = node.expressions if isinstance(node, exp.Concat) else [node.this, node.expression]
    if any(kind_of(part) in {"ARRAY", "BYTES"} for part in parts):
        return node
    joined = as_text(parts[0]) if kind_of(parts[0]) not in {"", "STRING"} else parts[0]
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=as_text(part) if kind_of(part) not in {"", "STRING"} else part)
    return typed(exp.Paren(this=joined) if isinstance(joined, exp.DPipe) else joined, "STRING")


def _safe(node: exp.Expr) -> exp.Expr:
    return attempt(node.this)


def _user(_: exp.Expr) -> exp.Expr:
    return call("session_user", kind="STRING")


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Cast: _cast,
    exp.TryCast: _try_cast,
    exp.Format: _format,
    exp.Concat: _joined,
    exp.DPipe: _joined,
    exp.SafeFunc: _safe,
    exp.SessionUser: _user,
}
