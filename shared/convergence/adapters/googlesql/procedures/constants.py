"""Expressions whose value is known before a call: literals, arguments, and variables that hold such values.

Only what GoogleSQL defines exactly is evaluated. Everything else is `NotKnown`: a value that differed from BigQuery's
would make a different statement than the one its author wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlglot import exp

from convergence.adapters.googlesql.parse import parse_statement
from convergence.adapters.googlesql.procedures.formats import formatted, written
from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.adapters.googlesql.types import SqlType
from convergence.errors import StepFailed

Constant = str | int | bool | date | None
_PYTHON: Final[Mapping[str, type]] = {"STRING": str, "INT64": int, "BOOL": bool, "DATE": date}
_DATE_ELEMENTS: Final = frozenset("Ymd")


class NotKnown(Exception):
    """An expression cannot be evaluated before the call; the text names the part of it that is not known."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A variable whose value is not known before the call, and why."""

    reason: str


Values = Mapping[str, Constant | Unknown]  # by name in lower case; system variables begin with `@@`


def evaluate(text: Text, values: Values) -> Constant:
    """Return the value of a script's expression. Raises `NotKnown`."""
    try:
        tree = parse_statement(f"SELECT ({text.sql}\n)")
    except StepFailed as error:
        raise NotKnown(str(error)) from error
    expressions = tree.expressions
    if len(expressions) != 1 or not isinstance(tree, exp.Select):
        raise NotKnown("more than one value")
    return _value(expressions[0], values)


def typed(value: Constant, kind: SqlType | None) -> Constant | Unknown:
    """Return a value as a variable of this type holds it; `Unknown` where a cast would be needed."""
    if value is None:
        return None
    if kind is None:
        return value
    if kind.name == "DATE" and isinstance(value, str):
        return _date(value) or Unknown(f"{value!r:.40} is not a DATE")
    expected = _PYTHON.get(kind.name)
    if expected is None or type(value) is not expected:
        return Unknown(f"as a {kind.name}")
    return value


def _value(node: exp.Expr, values: Values) -> Constant:
    for kind, evaluator in _EVALUATORS.items():
        if isinstance(node, kind):
            return evaluator(node, values)
    if isinstance(node, exp.Query | exp.Subquery):
        raise NotKnown("the result of a query")
    raise NotKnown(f"{_shown(node)}")


def _column(node: exp.Expr, values: Values) -> Constant:
    name = node.name.lower()
    if node.args.get("table") is not None:
        raise NotKnown(f"{_shown(node)}")
    if name not in values:
        raise NotKnown(f"{node.name!r}, which is not a variable or an argument here,")
    return _known(node.name, values[name])


def _parameter(node: exp.Expr, values: Values) -> Constant:
    name = f"@@{node.this.name.lower()}" if isinstance(node.this, exp.Parameter) else node.name
    if name not in values:
        raise NotKnown(f"{_shown(node)}")
    return _known(name, values[name])


def _known(name: str, value: Constant | Unknown) -> Constant:
    if isinstance(value, Unknown):
        raise NotKnown(f"{name!r} ({value.reason})")
    return value


def _literal(node: exp.Expr, _: Values) -> Constant:
    text = str(node.this)
    if node.args["is_string"]:
        return text
    if not text.isdigit():
        raise NotKnown(f"the number {text}")
    return int(text)


def _negative(node: exp.Expr, values: Values) -> Constant:
    value = _value(node.this, values)
    if type(value) is not int:
        raise NotKnown(f"{_shown(node)}")
    return -value


def _joined(node: exp.Expr, values: Values) -> Constant:
    """CONCAT and `||`: NULL if any part is."""
    parts = [node.this, node.expression] if isinstance(node, exp.DPipe) else node.expressions
    texts = [_value(part, values) for part in parts]
    if any(text is None for text in texts):
        return None
    if not all(isinstance(text, str) for text in texts):
        raise NotKnown(f"{_shown(node)}, where not all parts are STRINGs,")
    return "".join(map(str, texts))


def _format(node: exp.Expr, values: Values) -> Constant:
    pattern = _value(node.this, values)
    given = [_value(each, values) for each in node.expressions]
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        raise NotKnown(f"{_shown(node)}")
    try:
        return formatted(pattern, given)
    except ValueError as error:
        raise NotKnown(f"FORMAT with {error}") from error


def _cast(node: exp.Expr, values: Values) -> Constant:
    value, kind = _value(node.this, values), node.args["to"].sql("bigquery")
    if value is None:
        return None
    if kind == "STRING":
        return written(value)
    kept = typed(value, SqlType(kind))
    if isinstance(kept, Unknown):
        raise NotKnown(f"{_shown(node)}")
    return kept


def _coalesce(node: exp.Expr, values: Values) -> Constant:
    for each in (node.this, *node.expressions):
        value = _value(each, values)
        if value is not None:
            return value
    return None


def _if(node: exp.Expr, values: Values) -> Constant:
    chosen = node.args["true"] if _value(node.this, values) is True else node.args.get("false")
    return None if chosen is None else _value(chosen, values)


def _case(node: exp.Expr, values: Values) -> Constant:
    subject = node.args.get("this")
    for branch in node.args["ifs"]:
        condition = exp.EQ(this=subject.copy(), expression=branch.this.copy()) if subject is not None else branch.this
        if _value(condition, values) is True:
            return _value(branch.args["true"], values)
    default = node.args.get("default")
    return None if default is None else _value(default, values)


def _equal(node: exp.Expr, values: Values) -> Constant:
    left, right = _value(node.this, values), _value(node.expression, values)
    if left is None or right is None:
        return None
    if type(left) is not type(right):
        raise NotKnown(f"{_shown(node)}")
    return (left == right) is isinstance(node, exp.EQ)


def _in(node: exp.Expr, values: Values) -> Constant:
    if not node.expressions or node.args.get("unnest") is not None or node.args.get("query") is not None:
        raise NotKnown(f"{_shown(node)}")
    tests = [_equal(exp.EQ(this=node.this.copy(), expression=each.copy()), values) for each in node.expressions]
    return True if True in tests else None if None in tests else False


def _is(node: exp.Expr, values: Values) -> Constant:
    value, expected = _value(node.this, values), _value(node.expression, values)
    if expected is not None and not isinstance(expected, bool):
        raise NotKnown(f"{_shown(node)}")
    return value is expected


def _not(node: exp.Expr, values: Values) -> Constant:
    value = _value(node.this, values)
    return None if value is None else value is not True


def _and_or(node: exp.Expr, values: Values) -> Constant:
    """One side alone decides if it is FALSE (AND) or TRUE (OR)."""
    deciding = isinstance(node, exp.Or)
    left, right = _value(node.this, values), _value(node.expression, values)
    if deciding in (left, right):
        return deciding
    return None if None in (left, right) else not deciding


def _changed_case(node: exp.Expr, values: Values) -> Constant:
    value = _value(node.this, values)
    if value is None:
        return None
    if not isinstance(value, str) or not value.isascii():
        raise NotKnown(f"{_shown(node)}")
    return value.upper() if isinstance(node, exp.Upper) else value.lower()


def _replaced(node: exp.Expr, values: Values) -> Constant:
    found = [_value(each, values) for each in (node.this, node.expression, node.args["replacement"])]
    if any(each is None for each in found):
        return None
    text, old, new = found
    if not isinstance(text, str) or not isinstance(old, str) or not isinstance(new, str):
        raise NotKnown(f"{_shown(node)}")
    return text.replace(old, new) if old else text


def _format_date(node: exp.Expr, values: Values) -> Constant:
    wrapped = node.this.this if isinstance(node.this, exp.TsOrDsToDate) else node.this
    day, pattern = _value(wrapped, values), _value(node.args["format"], values)
    if day is None or pattern is None:
        return None
    parts = str(pattern).replace("%F", "%Y-%m-%d")
    if type(day) is not date or not all(part[:1] in _DATE_ELEMENTS for part in parts.split("%")[1:]):
        raise NotKnown(f"{_shown(node)}")
    return parts.replace("%Y", f"{day.year:04}").replace("%m", f"{day.month:02}").replace("%d", f"{day.day:02}")


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == len("2026-01-31") else None
    except ValueError:
        return None


def _shown(node: exp.Expr) -> str:
    text = node.sql("bigquery")
    return text if len(text) <= 60 else f"{text[:60]}…"


_EVALUATORS: Final[dict[type[exp.Expr], Callable[[exp.Expr, Values], Constant]]] = {
    exp.Paren: lambda node, values: _value(node.this, values),
    exp.Literal: _literal,
    exp.RawString: lambda node, _: str(node.this),
    exp.Boolean: lambda node, _: bool(node.this),
    exp.Null: lambda *_: None,
    exp.Neg: _negative,
    exp.Column: _column,
    exp.Parameter: _parameter,
    exp.DPipe: _joined,
    exp.Concat: _joined,
    exp.Format: _format,
    exp.Cast: _cast,
    exp.Coalesce: _coalesce,
    exp.Case: _case,
    exp.If: _if,
    exp.EQ: _equal,
    exp.NEQ: _equal,
    exp.In: _in,
    exp.Is: _is,
    exp.Not: _not,
    exp.And: _and_or,
    exp.Or: _and_or,
    exp.Upper: _changed_case,
    exp.Lower: _changed_case,
    exp.Replace: _replaced,
    exp.TimeToStr: _format_date,
}
