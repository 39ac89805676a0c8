"""Text that looks like a template but is not one: a processor would receive it as written, and nothing would fail."""

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
_CAPITALS: Final = re.compile(r"\$?\{\s*+(?P<name>[A-Z][A-Z0-9_]{2,60}+)\s*+\}")
_SENT: Final = frozenset({"headers", "body", "params", "auth"})  # where a literal is sent unchanged
_SECRET_NAME: Final = re.compile(r"authorization|api[-_]?key|token|secret|password", re.IGNORECASE)
_OPAQUE: Final = re.compile(r"(?:(?:Bearer|Basic|Token) )?(?=[^\s]*\d)[A-Za-z0-9._~+/=-]{12,500}")
_KNOWN_SECRET: Final = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,200}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,200}|xox[abp]-[A-Za-z0-9-]{10,200})\b"
)


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
            f"{shown!r} looks like a template but is not one, so it is kept as written: a template is a name "
            "in braces, without filters, calls or conditions",
        )


def environment_names(value: Any, path: KeyPath, known: Collection[str]) -> Iterator[Finding]:
    """Yield the texts of `value` with `${HOME}` and the like: a name in capitals that the file does not know."""
    for at, text in _texts(value, path):
        for match in _CAPITALS.finditer(text):
            if match["name"] not in known and not is_sql(at):
                yield (
                    at,
                    f"{match[0]} names a parameter; environment variables are not read: declare "
                    f"the parameter {match['name']}, or write the value",
                )


def credentials(value: Any, path: KeyPath) -> Iterator[Finding]:
    """Yield the texts of `value` that look like a credential in plain text; the text itself is not shown."""
    for at, text in _texts(value, path):
        name = str(at[-1])
        inside = any(str(key) in _SENT for key in at)
        secret = inside and _SECRET_NAME.search(name) and "{" not in text and _OPAQUE.fullmatch(text)
        if secret or _KNOWN_SECRET.search(text):
            yield (
                at,
                "this looks like a credential in plain text, which everyone with access to the file can read: store it "
                "(convergence integration setup) and name its provider in `auth`",
            )


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
    elif isinstance(value, str):
        yield path, value


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
        return None  # other braces in SQL have their own rules
    for match in _EXPRESSION.finditer(rest):
        if match["name"] in known:
            return match[0]
    return match[0] if (match := _OPEN.search(rest)) else None
