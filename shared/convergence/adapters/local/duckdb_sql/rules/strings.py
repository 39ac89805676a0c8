"""Parts of strings: white space is more than spaces, lengths are not negative, one group at most in a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.patterns import groups_of
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
    if kind_of(node.this) == "BYTES":
        return _part_of_bytes(node.this, start, length)
    if isinstance(start, exp.Literal) and start.is_int and int(start.name) > 0:
        if length is not None:
            node.set("length", _sized(length))
        return node
    tail = call("tail", node.this, start if start is not None else exp.Literal.number(1), kind="STRING")
    return tail if length is None else function("left", tail, _sized(length), kind="STRING")


def _part_of_bytes(value: exp.Expr, start: exp.Expr | None, length: exp.Expr | None) -> exp.Expr:
    first = start if start is not None else exp.Literal.number(1)
    if length is None:
        return call("bytes_tail", value, first, kind="BYTES")
    return call("bytes_part", value, first, _sized(length), kind="BYTES")


def _cut(name: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        length = node.expression
        if isinstance(length, exp.Literal):
            return node
        return function(name, node.this, _sized(length), kind=kind_of(node.this))

    return rule


def _repeated(node: exp.Expr) -> exp.Expr:
    return call("repeated", node.this, node.args["times"], kind="STRING")


def _replaced(node: exp.Expr) -> exp.Expr:
    """REPLACE by a text that is not longer cannot make the result grow."""
    sought, new = node.expression, node.args.get("replacement")
    if new is None:
        raise StepFailed("REPLACE takes three arguments.")
    if isinstance(sought, exp.Literal) and isinstance(new, exp.Literal) and len(new.name) <= len(sought.name):
        return node
    return call("replaced", node.this, sought, new, kind="STRING")


def _replaced_pattern(node: exp.Expr) -> exp.Expr:
    new = node.args.get("replacement")
    if new is None:
        raise StepFailed("REGEXP_REPLACE takes three arguments.")
    if not isinstance(new, exp.Literal | exp.RawString):
        node.set("replacement", call("replacement", node.this.copy(), new))
    return node


def _padded(node: exp.Expr) -> exp.Expr:
    """DuckDB takes 32 bits for the length where GoogleSQL gives INT64."""
    node.set("expression", call("pad_length", node.expression))
    return node


def _in_case(name: str) -> Rule:
    return lambda node: call(name, node.this, kind="STRING")


def _contains_substr(node: exp.Expr) -> exp.Expr:
    """CONTAINS_SUBSTR, which sqlglot reads as a comparison of two LOWER; the rule of these has been applied."""
    (where,), (sought,) = node.this.expressions, node.expression.expressions
    return call("contains_substr", where, sought, kind="BOOL")


def _initcap(node: exp.Expr) -> exp.Expr:
    return call("initcap", node.this, kind="STRING")


def _chr(node: exp.Expr) -> exp.Expr:
    return call("character", node.expressions[0], kind="STRING")


def _ascii(node: exp.Expr) -> exp.Expr:
    return call("ascii", node.this, kind="INT64")


def _translated(node: exp.Expr) -> exp.Expr:
    node.set("from_", call("distinct_characters", node.args["from_"]))
    return node


def _like(node: exp.Expr) -> exp.Expr:
    """A backslash escapes in every pattern; in DuckDB only where ESCAPE says so, which is slower."""
    pattern = node.expression
    if isinstance(node.parent, exp.Escape) or (isinstance(pattern, exp.Literal) and "\\" not in pattern.name):
        return node
    if not isinstance(pattern, exp.Any | exp.All):
        return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))
    listed = pattern.this.expressions if isinstance(pattern.this, exp.Tuple) else [pattern.this]
    if not isinstance(pattern.this, exp.Tuple | exp.Paren):
        raise StepFailed("LIKE ANY and LIKE ALL take a list of patterns here.")
    if all(isinstance(each, exp.Literal) and "\\" not in each.name for each in listed):
        return node
    each_ = [
        _like(type(node)(this=node.this.copy(), expression=each.copy(), negate=node.args.get("negate")))
        for each in listed
    ]
    return exp.paren(exp.or_(*each_) if isinstance(pattern, exp.Any) else exp.and_(*each_))


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
    """REGEXP_EXTRACT and REGEXP_EXTRACT_ALL give the pattern's group; it has one at most."""
    pattern = node.expression
    if not isinstance(pattern, exp.Literal | exp.RawString):
        node.set("group", call("int32", call("pattern_group", pattern.copy())))
        return node
    groups = groups_of(str(pattern.this))
    if groups > 1:
        raise StepFailed(
            f"REGEXP_EXTRACT: the pattern {pattern.this!r} has {groups} groups and may have one; (?:…) does not count."
        )
    if groups or isinstance(node, exp.RegexpExtractAll):
        node.set("group", exp.Literal.number(groups))
    return node


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Trim: _trimmed,
    exp.Substring: _substring,
    exp.Left: _cut("left"),
    exp.Right: _cut("right"),
    exp.Repeat: _repeated,
    exp.Replace: _replaced,
    exp.RegexpReplace: _replaced_pattern,
    exp.Pad: _padded,
    exp.Upper: _in_case("upper"),
    exp.Lower: _in_case("lower"),
    exp.Contains: _contains_substr,
    exp.Initcap: _initcap,
    exp.Chr: _chr,
    exp.Ascii: _ascii,
    exp.Translate: _translated,
    exp.Like: _like,
    exp.Unicode: _unicode,
    exp.StrPosition: _position,
    exp.RegexpExtract: _extracted,
    exp.RegexpExtractAll: _extracted,
}
