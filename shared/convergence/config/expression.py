"""The language of `when`: a small closed expression on parameters, variables and results of earlier steps.

    or ← and ("or" and)*          and ← not ("and" not)*          not ← "not" not | test
    test ← value (("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") value)?
    value ← 'text' | "text" | number | true | false | null | [value, …] | ( or ) | name
    name ← parameters.x | variables.x | results.step.field | {x}       (quotes round {x} change nothing)

Words may be in capitals; `=` and `<>` are the older signs of `==` and `!=`. A name without a value is null, which
equals only null and is in no order with anything. Text and numbers are never equal. Nothing is called, nothing
is evaluated as Python.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from convergence.config.templates import SLOT, NoValue, lookup
from convergence.errors import ConfigError, StepFailed

LENGTH_MAX: Final = 2_000
DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Literal:
    """A JSON value, written down."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    """A reference. `path[0]` is parameters, variables, results, or empty for a template."""

    path: tuple[str, ...]

    @property
    def dotted(self) -> str:
        """The name as a template would have it."""
        return ".".join(part for part in self.path if part)


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """`not` (one operand), `and`, `or`, or a comparison (two)."""

    operator: str
    operands: tuple[Expression, ...]


Expression = Literal | Name | Items | Operation

_UNNAMED_SLOT: Final = re.sub(r"\?P<[a-z]+>", "?:", SLOT.pattern)
_TOKEN: Final = re.compile(
    rf"""
    \s* (?:
      (?P<text> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
    | (?P<template> {_UNNAMED_SLOT} )
    | (?P<number> -?\d+(?:\.\d+)? (?![A-Za-z0-9_]) )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)* )
    | (?P<sign> ==|!=|<>|<=|>=|[=<>()\[\],] )
    )
    """,
    re.VERBOSE,
)
_ROOTS: Final = frozenset({"parameters", "variables", "results"})
_SIGNS: Final = {"=": "==", "<>": "!="}
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARISONS: Final = frozenset({"==", "!=", *_ORDER})
_CONSTANTS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None, "none": None}


@lru_cache(maxsize=2048)
def parse(text: str) -> Expression:
    """Return the expression. Raises `ConfigError` (without a place) that says what is wrong and where in the text."""
    if len(text) > LENGTH_MAX:
        raise ConfigError(f"a condition has at most {LENGTH_MAX} characters")
    return _Parser(text).expression()


def names(expression: Expression) -> Iterator[Name]:
    """Yield every reference."""
    match expression:
        case Name():
            yield expression
        case Items(items=inner) | Operation(operands=inner):
            for part in inner:
                yield from names(part)


def replaced(expression: Expression, value: Callable[[Name], Expression]) -> Expression:
    """Return the expression with every reference replaced by what `value` gives for it."""
    match expression:
        case Name():
            return value(expression)
        case Items(items=inner):
            return Items(tuple(replaced(part, value) for part in inner))
        case Operation(operator=sign, operands=inner):
            return Operation(sign, tuple(replaced(part, value) for part in inner))
    return expression


def unparse(expression: Expression) -> str:
    """Return text that `parse` reads back to the same expression."""
    match expression:
        case Literal(value=value):
            return _quoted(value) if isinstance(value, str) else json.dumps(value)
        case Name(path=path):
            return expression.dotted if path[0] else f"{{{expression.dotted}}}"
        case Items(items=inner):
            return "[" + ", ".join(unparse(part) for part in inner) + "]"
        case Operation(operator="not", operands=(inner,)):
            return f"not ({unparse(inner)})"
        case Operation(operator=sign, operands=inner):
            return f" {sign} ".join(f"({text})" if " " in text else text for text in map(unparse, inner))


def evaluate(
    expression: Expression | str,
    *,
    parameters: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    variables: Mapping[str, Any] | None = None,
) -> bool:
    """Return whether the condition holds.

    Raises:
        StepFailed: the whole is no boolean, or values are compared that have no order.
    """
    parsed = parse(expression) if isinstance(expression, str) else expression
    scope = {"parameters": parameters, "results": results, "variables": variables or {}}
    return _truth(_value(parsed, scope))


def _value(expression: Expression, scope: Mapping[str, Any]) -> Any:
    match expression:
        case Literal(value=value):
            return value
        case Name(path=path):
            try:
                return lookup(scope if path[0] else scope["parameters"], expression.dotted)
            except NoValue:
                return None
        case Items(items=inner):
            return [_value(part, scope) for part in inner]
        case Operation(operator="not", operands=(inner,)):
            return not _truth(_value(inner, scope))
        case Operation(operator="and", operands=inner):
            return all(_truth(_value(part, scope)) for part in inner)
        case Operation(operator="or", operands=inner):
            return any(_truth(_value(part, scope)) for part in inner)
        case Operation(operator=sign, operands=(left, right)):
            return _compare(sign, _value(left, scope), _value(right, scope))
    raise AssertionError(f"an operation of a kind that the parser does not make: {expression!r}")


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign in {"==", "!="}:
        return _equal(left, right) == (sign == "==")
    if sign in {"in", "not in"}:
        if isinstance(right, str) and (left is None or isinstance(left, str)):
            found = left is not None and left in right
        elif isinstance(right, list | tuple):
            found = any(_equal(left, item) for item in right)
        elif right is None:
            found = False
        else:
            raise StepFailed(f"when: `{sign}` looks into a list or a text, not into {type(right).__name__}")
        return found == (sign == "in")
    if left is None or right is None:
        return False
    numbers = _is_number(left) and _is_number(right)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise StepFailed(f"when: {type(left).__name__} and {type(right).__name__} have no order (`{sign}`)")
    return _ORDER[sign](left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _truth(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise StepFailed(f"when: true or false is needed, not {type(value).__name__}: compare it with something")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._cut())
        self._at = 0
        self._depth = 0

    def _cut(self) -> Iterator[tuple[str, str, int]]:
        position, end = 0, len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._wrong(f"nothing here begins with {self._text[position:].strip()[:1]!r}", position)
            kind = match.lastgroup or ""
            lexeme = match[kind]
            yield kind, lexeme.lower() if _is_keyword(kind, lexeme) else lexeme, match.start(kind)
            position = match.end()

    def _wrong(self, message: str, position: int) -> ConfigError:
        return ConfigError(f"{message} (at character {position + 1} of {self._text!r})")

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", len(self._text))

    def _take(self, *wanted: str) -> str | None:
        kind, lexeme, _ = self._peek()
        if kind in {"word", "sign"} and lexeme in wanted:
            self._at += 1
            return lexeme
        return None

    def expression(self) -> Expression:
        found = self._or()
        kind, lexeme, position = self._peek()
        if kind != "end":
            raise self._wrong(f"{lexeme!r} is not expected", position)
        return found

    def _or(self) -> Expression:
        return self._chain("or", lambda: self._chain("and", self._not))

    def _chain(self, word: str, inner: Callable[[], Expression]) -> Expression:
        operands = [inner()]
        while self._take(word):
            operands.append(inner())
        return operands[0] if len(operands) == 1 else Operation(word, tuple(operands))

    def _not(self) -> Expression:
        turns = 0
        while self._take("not"):
            turns += 1
        found = self._test()
        return Operation("not", (found,)) if turns % 2 else found

    def _test(self) -> Expression:
        left = self._operand()
        sign = self._take(*_COMPARISONS, *_SIGNS, "in", "not")
        if sign is None:
            return left
        if sign == "not":
            if not self._take("in"):
                raise self._wrong("`in` is expected after `not`", self._peek()[2])
            sign = "not in"
        return Operation(_SIGNS.get(sign, sign), (left, self._operand()))

    def _operand(self) -> Expression:
        kind, lexeme, position = self._peek()
        self._at += 1
        if kind == "sign" and lexeme in "([":
            return self._nested(lexeme == "[", position)
        if kind == "text":
            return _text(lexeme)
        if kind == "template":
            return _name(lexeme.strip("${} \t\r\n"))
        if kind == "number":
            return Literal(float(lexeme) if "." in lexeme else int(lexeme))
        if kind == "word":
            return self._word(lexeme, position)
        raise self._wrong(f"a value is expected, not {lexeme or 'the end'!r}", position)

    def _nested(self, is_list: bool, position: int) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong(f"brackets are nested deeper than {DEPTH_MAX}", position)
        found = self._list() if is_list else self._or()
        if not is_list:
            self._expect(")")
        self._depth -= 1
        return found

    def _word(self, lexeme: str, position: int) -> Expression:
        if lexeme.lower() in _CONSTANTS:
            return Literal(_CONSTANTS[lexeme.lower()])
        path = tuple(lexeme.split("."))
        if path[0] not in _ROOTS or len(path) < (3 if path[0] == "results" else 2):
            raise self._wrong(
                f"{lexeme!r} is no name: use parameters.x, variables.x, results.step.field or {{x}}; text needs quotes",
                position,
            )
        return Name(path)

    def _list(self) -> Expression:
        items: list[Expression] = []
        while not self._take("]"):
            if items:
                self._expect(",")
            items.append(self._operand())
        return Items(tuple(items))

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._wrong(f"{sign!r} is expected", self._peek()[2])


def _is_keyword(kind: str, lexeme: str) -> bool:
    return kind == "word" and lexeme.lower() in {"and", "or", "not", "in"}


def _name(template: str) -> Name:
    path = tuple(template.split("."))
    return Name(path if path[0] in _ROOTS and len(path) > 1 else ("", *path))


def _text(lexeme: str) -> Expression:
    inner = lexeme[1:-1]
    match = SLOT.fullmatch(inner)
    if match is not None and not match["escapes"]:
        return _name(match["a"] or match["b"])
    return Literal(re.sub(r"\\(.)", r"\1", inner))
