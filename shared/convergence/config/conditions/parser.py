"""Reads a condition: a tokenizer and a recursive descent, both bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from convergence.config.conditions.tree import Expression, Items, Literal, Name, Operation
from convergence.config.templates.template import SLOT
from convergence.errors import ConfigError

LENGTH_MAX: Final = 2_000
DEPTH_MAX: Final = 32

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
_WORDS: Final = {"&": "and", "|": "or", "!": "not"}  # operators of other languages
_OTHER_WORDS: Final = {"is": "==", "eq": "==", "equals": "==", "ne": "!=", "gt": ">", "lt": "<", "===": "=="}
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_CONSTANTS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None, "none": None}


class Parser:
    """Of one text. Raises `ConfigError`, without a file, that names the character."""

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
                rest = self._text[position:].strip()
                word = next((word for sign, word in _WORDS.items() if rest.startswith(sign)), None)
                known = f"; write `{word}`" if word else ""
                raise self._wrong(f"nothing here begins with {rest[:1]!r}{known}", position)
            kind = match.lastgroup or ""
            lexeme = match[kind]
            yield kind, lexeme.lower() if _is_keyword(kind, lexeme) else lexeme, match.start(kind)
            position = match.end()

    def _wrong(self, message: str, position: int) -> ConfigError:
        return ConfigError(f"{message} (at character {position + 1} of {self._text!r})")

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", len(self._text))

    def _take(self, *expected: str) -> str | None:
        kind, lexeme, _ = self._peek()
        if kind in {"word", "sign"} and lexeme in expected:
            self._at += 1
            return lexeme
        return None

    def expression(self) -> Expression:
        """Return the whole."""
        found = self._or()
        kind, lexeme, position = self._peek()
        if kind != "end":
            instead = _OTHER_WORDS.get(lexeme.lower())
            known = f"; write `{instead}`" if instead else "; `and` or `or` joins two comparisons"
            raise self._wrong(f"{lexeme!r} is not expected{known}", position)
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
                f"{lexeme!r} is not a name: use parameters.x, variables.x, results.step.field or {{x}};"
                " text needs quotes",
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


def older_signs(text: str) -> Iterator[tuple[str, str]]:
    """Yield each operator of a condition that is an alias, once, with the operator that it means: `=` for `==`.

    It reads token by token and stops at anything else: a search would start again at each position of untrusted text.
    """
    found: dict[str, None] = {}
    position = 0
    while (match := _TOKEN.match(text, position)) is not None:
        found |= {match["sign"]: None} if match["sign"] in _SIGNS else {}
        position = match.end()
    yield from ((sign, _SIGNS[sign]) for sign in found)
