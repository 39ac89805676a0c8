"""Pub/Sub's filter language over attributes (documentation: "Filter messages from a subscription").

`attributes:key` · `attributes.key = "v"` · `attributes.key != "v"` · `hasPrefix(attributes.key, "v")`, joined by
AND, OR, NOT (or `-`) and parentheses. AND and OR do not mix without parentheses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

Filter = Callable[[Mapping[str, str]], bool]
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|!=|[=:.,()-]|[A-Za-z0-9_]+)')
BYTES_MAX = 256


class BadFilter(ValueError):
    """The text is not a filter; the message says where it stops being one."""


def parse_filter(text: str) -> Filter:
    """Return the test that a message's attributes must pass; no text lets everything through."""
    if len(text.encode()) > BYTES_MAX:
        raise BadFilter(f"a filter has at most {BYTES_MAX} bytes")
    if not text.strip():
        return lambda attributes: True
    parser = _Parser(text)
    found = parser.expression()
    parser.end()
    return found


class _Parser:
    """Recursive descent; one method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise BadFilter(f"cannot read the filter at {text[at : at + 20]!r}")
            self._tokens.append(match[1])
            at = match.end()
        self._at = 0

    def expression(self) -> Filter:
        parts = [self._term()]
        joint = self._peek()
        while joint in {"AND", "OR"} and self._peek() == joint:
            self._next()
            parts.append(self._term())
        if self._peek() in {"AND", "OR"}:
            raise BadFilter("AND and OR do not mix without parentheses")
        together = all if joint == "AND" else any
        return lambda attributes: together(part(attributes) for part in parts)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise BadFilter(f"the filter goes on after its end: {self._peek()!r}")

    def _term(self) -> Filter:
        if self._peek() in {"NOT", "-"}:
            self._next()
            inner = self._term()
            return lambda attributes: not inner(attributes)
        if self._peek() == "(":
            self._next()
            inner = self.expression()
            self._want(")")
            return inner
        if self._peek() == "hasPrefix":
            self._next()
            self._want("(")
            key = self._key()
            self._want(",")
            prefix = self._text()
            self._want(")")
            return lambda attributes: attributes.get(key, "").startswith(prefix) and key in attributes
        return self._comparison()

    def _comparison(self) -> Filter:
        self._want("attributes")
        if self._peek() == ":":
            self._next()
            key = self._name()
            return lambda attributes: key in attributes
        self._want(".")
        key = self._name()
        sign = self._next()
        value = self._text()
        if sign == "=":
            return lambda attributes: attributes.get(key) == value
        if sign == "!=":
            return lambda attributes: attributes.get(key) != value
        raise BadFilter(f"expected = or != after attributes.{key}, not {sign!r}")

    def _key(self) -> str:
        self._want("attributes")
        self._want(".")
        return self._name()

    def _name(self) -> str:
        token = self._next()
        return str(json.loads(token)) if token.startswith('"') else token

    def _text(self) -> str:
        token = self._next()
        if not token.startswith('"'):
            raise BadFilter(f"expected text in quotes, not {token!r}")
        return str(json.loads(token))

    def _want(self, token: str) -> None:
        found = self._next()
        if found != token:
            raise BadFilter(f"expected {token!r}, not {found!r}")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise BadFilter("the filter ends too early")
        self._at += 1
        return token
