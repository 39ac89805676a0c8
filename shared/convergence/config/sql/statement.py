"""A statement with places for values and identifiers, and how they are filled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from convergence.config.sql.values import value_of
from convergence.config.templates.template import NoValue, lookup

_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_DOTTED = re.compile(rf"{_IDENTIFIER.pattern}(?:[.:]{_IDENTIFIER.pattern}){{0,3}}")


class Bound(NamedTuple):
    """A value that is sent as the query parameter `parameter`; `type` is None if the value determines it."""

    name: str
    parameter: str
    type: str | None
    offset: int


class Identifier(NamedTuple):
    """A value inside backticks; `whole` when it fills them, so that it may hold dots."""

    name: str
    whole: bool
    offset: int


class Mistake(NamedTuple):
    """A template where none is allowed, or SQL that cannot be read. `line` counts from 0 within the SQL."""

    message: str
    line: int


class Statement(NamedTuple):
    """SQL ready to be filled. `parts` are text and identifiers."""

    parts: tuple[str | Identifier, ...]
    bound: tuple[Bound, ...]
    native: tuple[Bound, ...]  # `@name` written by hand
    mistakes: tuple[Mistake, ...]

    @property
    def plain(self) -> bool:
        """True when there is nothing to fill."""
        return not self.bound and not self.native and all(isinstance(part, str) for part in self.parts)


def render_sql(statement: Statement, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"sql": …, "parameters": {name: {"type": …, "value": …}}}`, all JSON.

    Raises:
        NoValue: a name has no value.
        ValueError: a value does not fit its type, or is not an identifier; the message is part of a sentence.
    """
    parameters: dict[str, Any] = {}
    for bound in statement.bound:
        parameters[bound.parameter] = value_of(lookup(scope, bound.name), bound.type, bound.name)
    for bound in statement.native:
        if bound.name in scope:
            parameters[bound.parameter] = value_of(scope[bound.name], bound.type, bound.name)
    text = "".join(part if isinstance(part, str) else _identifier(part, scope) for part in statement.parts)
    return {"sql": text, "parameters": parameters}


def _identifier(part: Identifier, scope: Mapping[str, Any]) -> str:
    value = lookup(scope, part.name)
    if value is None:
        raise NoValue(part.name)
    allowed = _DOTTED if part.whole else _IDENTIFIER
    if not isinstance(value, str) or not allowed.fullmatch(value):
        dots = "" if part.whole else " (dots only where the template fills the backticks)"
        raise ValueError(f"{{{part.name}}} is not an identifier{dots}: letters, digits, _ and - are allowed")
    return value
