r"""Templates: `{name}`, `${name}` and `{{name}}`, with optional spaces inside the braces.

Only a name between the braces makes a template: letters, digits and underscores, not beginning with a digit,
followed by further keys after dots (`{results.extract.rows}`). All other braces are literal: `{}`, `{"a": 1}`,
`{0}`, `\d{4}`. A backslash before a template takes it literally (`\{name}` is the text `{name}`), two
backslashes are one before a live template; everywhere else a backslash is literal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from convergence.config.templates.sizes import joined

_PATH = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)*"
SLOT: Final = re.compile(
    # Backslashes are matched once, from the first of a run: anything else takes quadratic time on a long run.
    rf"(?<!\\)(?P<escapes>\\*+)(?P<template>\{{\{{\s*(?P<a>{_PATH})\s*\}}\}}|\$?\{{\s*(?P<b>{_PATH})\s*\}})"
)


# In files that write `{{name}}`, `{{date}}` is the day on which the run starts; `{date}` is the run's data date.
_DOUBLE: Final[Mapping[str | None, str]] = {"date": "fire_date"}


class Slot(NamedTuple):
    """The place of a value. `start` is the offset of the template in its text."""

    name: str
    start: int

    @property
    def root(self) -> str:
        """The first key of the name."""
        return self.name.partition(".")[0]


class Template(NamedTuple):
    """Literal text and slots, in order."""

    parts: tuple[str | Slot, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots, in order."""
        return tuple(part for part in self.parts if isinstance(part, Slot))

    @property
    def whole(self) -> Slot | None:
        """The slot, when the text is exactly one template: its value keeps its type."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Slot) else None


class NoValue(LookupError):
    """A name has no value. `args[0]` is the name as the template wrote it."""


def parse(text: str) -> Template | None:
    """Return the template, or None when the text has neither template nor escape and is literal."""
    if "{" not in text:
        return None
    parts: list[str | Slot] = []
    position = 0
    for match in SLOT.finditer(text):
        backslashes = len(match["escapes"])
        literal = text[position : match.start()] + "\\" * (backslashes // 2)
        if backslashes % 2:
            literal += match["template"]
        if literal:
            parts.append(literal)
        if not backslashes % 2:
            parts.append(Slot(_DOUBLE.get(match["a"], match["a"]) or match["b"], match.start("template")))
        position = match.end()
    if position == 0:
        return None
    if position < len(text):
        parts.append(text[position:])
    return Template(_joined(parts))


def _joined(parts: list[str | Slot]) -> tuple[str | Slot, ...]:
    """Merge adjacent literals."""
    joined: list[str | Slot] = []
    for is_text, group in groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            joined.append("".join(str(part) for part in group))
        else:
            joined.extend(group)
    return tuple(joined)


def escape(text: str) -> str:
    """Return the text that `parse` and `render` turn into `text`."""
    return SLOT.sub(lambda match: "\\" * (2 * len(match["escapes"]) + 1) + match["template"], text)


def render(template: Template, scope: Mapping[str, Any]) -> Any:
    """Fill the slots. Raises `NoValue`, and `TooLarge`."""
    whole = template.whole
    if whole is not None:
        return lookup(scope, whole.name)
    pieces = (
        part if isinstance(part, str) else text_of(lookup(scope, part.name), part.name) for part in template.parts
    )
    return joined(pieces, scope)


def lookup(scope: Mapping[str, Any], name: str) -> Any:
    """Return the value of a dotted name. A key that exists literally (dots included) takes precedence.

    Raises:
        NoValue: nothing has that name.
    """
    if name in scope:
        return scope[name]
    value: Any = scope
    for key in name.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise NoValue(name)
        value = value[key]
    return value


def text_of(value: Any, name: str = "") -> str:
    """Return how a value looks inside a longer text: JSON, but text without quotes. Raises `NoValue` for null."""
    if isinstance(value, str):
        return value
    if value is None:
        raise NoValue(name)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
