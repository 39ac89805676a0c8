"""Parts of strings: white space is more than blanks, lengths are not negative, one group at most in a pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, cast, function, kind_of, text
from convergence.errors import StepFailed

# The characters of Unicode's property White_Space.
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)


def _trimmed(node: exp.Expr) -> exp.Expr:
    side = str(node.args.get("position") or "").upper()
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side, "trim")
    if kind_of(node.this) == "BYTES":
        raise StepFailed(f"{name.upper()} of BYTES cannot run here.")
    signs = node.expression if node.expression is not None else text(_SPACE)
    return function(name, node.this, signs, kind="STRING")


def _sized(node: exp.Expr) -> exp.Expr:
    """Return a length, which is an error when it is negative."""
    if isinstance(node, exp.Literal):
        return node
    return call("sized", node)


def _substring(node: exp.Expr) -> exp.Expr:
    start, length = node.args.get("start"), node.args.get("length")
    if isinstance(start, exp.Literal) and start.is_int and int(start.name) > 0:
        if length is not None:
            node.set("length", _sized(length))
        return node
    tail = call("tail", node.this, start if start is not None else exp.Literal.number(1), kind="STRING")
    return tail if length is None else function("left", tail, _sized(length), kind="STRING")


def _cut(name: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        length = node.expression
        if isinstance(length, exp.Literal):
            return node
        return function(name, node.this, _sized(length), kind=kind_of(node.this))

    return rule


def _repeated(node: exp.Expr) -> exp.Expr:
    return function("repeat", node.this, _sized(node.args["times"]), kind="STRING")


def _padded(node: exp.Expr) -> exp.Expr:
    """DuckDB takes 32 bits for the length where GoogleSQL gives INT64."""
    length = node.expression
    if not isinstance(length, exp.Literal):
        node.set("expression", call("int32", _sized(length)))
    return node


def _initcap(node: exp.Expr) -> exp.Expr:
    return call("initcap", node.this, kind="STRING")


def _chr(node: exp.Expr) -> exp.Expr:
    return function("chr", call("int32", node.expressions[0]), kind="STRING")


def _unicode(node: exp.Expr) -> exp.Expr:
    code = exp.If(this=exp.EQ(this=node.this, expression=text("")), true=exp.Literal.number(0), false=node.copy())
    return cast(code, "INT64")


def _position(node: exp.Expr) -> exp.Expr:
    """STRPOS, and INSTR with a position (from the end when negative) and an occurrence."""
    subject, sought = node.this, node.args["substr"]
    position, occurrence = node.args.get("position"), node.args.get("occurrence")
    if position is None and occurrence is None:
        return function("strpos", subject, sought, kind="INT64")
    one = exp.Literal.number(1)
    return call("instr", subject, sought, position or one, occurrence or one.copy(), kind="INT64")


def _extracted(node: exp.Expr) -> exp.Expr:
    """REGEXP_EXTRACT and REGEXP_EXTRACT_ALL: a pattern has one group at most."""
    pattern = node.expression
    if not isinstance(pattern, exp.Literal | exp.RawString):
        node.set("group", call("int32", call("pattern_group", pattern.copy())))
        return node
    try:
        groups = re.compile(str(pattern.this)).groups
    except (re.error, OverflowError):
        return node  # RE2 says what is wrong, or reads what Python does not
    if groups > 1:
        raise StepFailed(
            f"REGEXP_EXTRACT: the pattern {pattern.this!r} has {groups} groups and may have one; (?:…) does not count."
        )
    return node


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Trim: _trimmed,
    exp.Substring: _substring,
    exp.Left: _cut("left"),
    exp.Right: _cut("right"),
    exp.Repeat: _repeated,
    exp.Pad: _padded,
    exp.Initcap: _initcap,
    exp.Chr: _chr,
    exp.Unicode: _unicode,
    exp.StrPosition: _position,
    exp.RegexpExtract: _extracted,
    exp.RegexpExtractAll: _extracted,
}
