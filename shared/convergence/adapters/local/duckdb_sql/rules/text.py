"""Text: FORMAT and concatenation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.patterns import Conversion, format_pieces
from convergence.adapters.local.duckdb_sql.rules.base import Rule, attempt, call, cast, function, kind_of, text, typed
from convergence.adapters.local.duckdb_sql.rules.casts import as_text
from convergence.errors import StepFailed

_DECIMALS: Final = frozenset({"NUMERIC", "BIGNUMERIC"})
# The macro that lets a value of unknown type through when it has the type of the conversion.
_OF_KIND: Final = dict.fromkeys("dixXo", "only_int64") | dict.fromkeys("fFeEgG", "only_float64") | {"s": "only_string"}


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
            raise StepFailed(f"FORMAT: {pattern.this!r} needs more arguments than were given.")
        else:
            parts.append(_converted(piece, values.pop(0)))
    if values:
        raise StepFailed(f"FORMAT: {pattern.this!r} needs fewer arguments than were given.")
    joined = parts[0] if parts else text("")
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=part)
    return typed(exp.Paren(this=joined), "STRING")


def _converted(piece: Conversion, value: exp.Expr) -> exp.Expr:
    letter, kind = piece.letter, kind_of(value)
    if isinstance(value, exp.Null) and letter not in "tT":
        return value
    if letter in "dixXo" and kind not in {"INT64", ""}:
        raise StepFailed(f"FORMAT: %{letter} takes INT64, not {kind}.")
    if letter in "fFeEgG" and kind not in _DECIMALS | {"FLOAT64", ""}:
        raise StepFailed(f"FORMAT: %{letter} takes FLOAT64 or NUMERIC, not {kind}.")
    if letter == "s" and kind not in {"STRING", ""}:
        raise StepFailed(f"FORMAT: %s takes STRING, not {kind}; use %t.")
    if not kind:
        value = call(_OF_KIND[letter], value) if letter in _OF_KIND else value
    if letter in "di":
        digits = cast(function("abs", cast(cast(value, "INT64"), "NUMERIC")), "STRING")
        digits = function("split_part", digits, text("."), exp.Literal.number(1))
        return _signed(piece, value, _with_zeros(piece, digits))
    if letter in "xXo":
        return _signed(piece, value, _based(piece, value))
    if letter in "fFeEgG":
        return _signed(piece, value, _real(piece, value))
    if letter == "s":
        cut = function("left", value, exp.Literal.number(piece.precision)) if piece.precision is not None else value
        return _padded(piece, as_text(cut))
    if letter in "tT":
        return _padded(piece, _shown(value, literal=letter == "T"))
    if letter in "pP" and kind == "JSON":
        return _padded(piece, cast(value, "STRING"))
    raise StepFailed(f"FORMAT: %{letter}{f' of {kind}' if kind else ''} cannot be used here.")


def _with_zeros(piece: Conversion, digits: exp.Expr) -> exp.Expr:
    """The precision of an integer is how many digits it has at least."""
    return digits if piece.precision is None else call("zeros_left", digits, exp.Literal.number(piece.precision))


def _based(piece: Conversion, value: exp.Expr) -> exp.Expr:
    """Hexadecimal or octal digits of the number without its sign."""
    if "#" in piece.flags or "'" in piece.flags:
        raise StepFailed(f"FORMAT: the flags {piece.flags!r} of %{piece.letter} cannot be used here.")
    unsigned = cast(function("abs", cast(value, "INT64")), "INT64")
    return _with_zeros(piece, function("printf", text(f"%l{piece.letter}"), unsigned))


def _real(piece: Conversion, value: exp.Expr) -> exp.Expr:
    """Digits of the number without its sign. A NUMERIC is never a FLOAT64 in between."""
    places = 6 if piece.precision is None else piece.precision
    kind = kind_of(value)
    if "#" in piece.flags:
        raise StepFailed(f"FORMAT: %{piece.flags}{piece.letter} cannot be used here.")
    if kind in _DECIMALS:
        if piece.letter not in "fF":
            raise StepFailed(f"FORMAT: %{piece.letter} of {kind} cannot be used here; cast it to FLOAT64.")
        most = 9 if kind == "NUMERIC" else 18
        rounded = cast(function("round", function("abs", value), exp.Literal.number(min(places, most))), "STRING")
        return exp.DPipe(this=rounded, expression=text("0" * (places - most))) if places > most else rounded
    number = function("abs", cast(value, "FLOAT64"))
    return function("printf", text(f"%.{places}{piece.letter}"), number)


def _signed(piece: Conversion, value: exp.Expr, digits: exp.Expr) -> exp.Expr:
    """Add thousands separators, sign and zeros to the digits, in the width of the conversion."""
    if "'" in piece.flags:
        if "0" in piece.flags or piece.letter in "eEgG":
            raise StepFailed(f"FORMAT: %{piece.flags}{piece.letter} cannot be used here.")
        digits = call("thousands", digits)
    plus = next((flag for flag in "+ " if flag in piece.flags), "")
    width = piece.width or 0
    zeros = width if "0" in piece.flags and "-" not in piece.flags and piece.precision is None else 0
    if piece.letter in "fFeEgG" and "0" in piece.flags and "-" not in piece.flags:
        zeros = width
    sign = call("sign_of", value.copy(), text(plus))
    return _padded(piece, call("number_text", sign, digits, exp.Literal.number(zeros), kind="STRING"))


def _padded(piece: Conversion, written: exp.Expr) -> exp.Expr:
    if piece.width is None:
        return written
    return call("pad_right" if "-" in piece.flags else "pad_left", written, exp.Literal.number(piece.width))


def _shown(value: exp.Expr, *, literal: bool) -> exp.Expr:
    """%t is the value as text, %T as a literal; NULL is the word."""
    kind = kind_of(value)
    if kind in {"ARRAY", "STRUCT"} or (literal and kind in {"BYTES", "JSON", "INTERVAL", "TIME"}):
        raise StepFailed(f"FORMAT: %{'T' if literal else 't'} of {kind} cannot be used here.")
    written = as_text(value)
    if kind == "FLOAT64":
        written = call("float_literal" if literal else "float_shown", value, kind="STRING")
    elif not kind:
        written = call("literal" if literal else "shown", value, kind="STRING")
    if literal and kind == "STRING":
        written = call("string_literal", written)
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
    exp.Format: _format,
    exp.Concat: _joined,
    exp.DPipe: _joined,
    exp.SafeFunc: _safe,
    exp.SessionUser: _user,
}
