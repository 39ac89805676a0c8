"""What looks like a template and is not one: a processor would get it as it is written, and nothing would fail."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from convergence.config.templates.compiled import is_sql
from convergence.config.templates.template import SLOT
from convergence.config.yaml.positions import KeyPath

Finding = tuple[KeyPath, str]

_TEMPLATE_LANGUAGE: Final = re.compile(r"\{\{[^{}]++\}\}|\{%[^{}]++\}")  # {{ date | upper }}, {% if x %}
_EXPRESSION: Final = re.compile(r"\{\s*+(?P<name>[A-Za-z_]\w*+)\s*+[|+\-:(\[][^{}]*+\}")  # {date+1}, {date:%Y}
_OPEN: Final = re.compile(r"\{\s*+[A-Za-z_]\w*+[^{}]*+\Z")  # {date
_SHOWN: Final = 40


def lookalikes(value: Any, path: KeyPath, known: Collection[str]) -> Iterator[Finding]:
    """Yield the texts of `value` that look like templates; `known` are the names that templates may use."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from lookalikes(inner, (*path, key), known)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from lookalikes(inner, (*path, index), known)
    elif isinstance(value, str) and "{" in value and (found := _lookalike(value, known, sql=is_sql(path))):
        shown = found if len(found) <= _SHOWN else found[: _SHOWN - 1] + "…"
        yield (
            path,
            f"{shown} looks like a template and is not one, so it stays as it is written: a template is a name "
            "between braces, without filters, calls or conditions",
        )


def unquoted(value: Any, path: KeyPath, known: Collection[str]) -> Iterator[Finding]:
    """Yield the mappings that were meant as templates: YAML reads `day: {date}` as a mapping with the key `date`."""
    if isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from unquoted(inner, (*path, index), known)
    elif isinstance(value, Mapping):
        name = next(iter(value), None)
        if len(value) == 1 and name in known and value[name] is None:
            yield path, f'a template must be in quotes: "{{{name}}}"; without them YAML reads it as a mapping'
            return
        for key, inner in value.items():
            yield from unquoted(inner, (*path, key), known)


def _lookalike(text: str, known: Collection[str], *, sql: bool) -> str | None:
    rest = SLOT.sub("", text)
    if match := _TEMPLATE_LANGUAGE.search(rest):
        return match[0]
    if sql:
        return None  # the rest of its braces has rules of its own
    for match in _EXPRESSION.finditer(rest):
        if match["name"] in known:
            return match[0]
    return match[0] if (match := _OPEN.search(rest)) else None
