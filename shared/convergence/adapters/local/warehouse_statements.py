"""The warehouse's own SQL lives in `warehouse.sql`; this reads it, once."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from convergence.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@cache
def _statements() -> dict[str, str]:
    text = Path(__file__).with_name("warehouse.sql").read_text(encoding="utf-8")
    blocks = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(blocks[::2], blocks[1::2], strict=True)}


def statement(name: str, **words: str) -> str:
    """Return the statement `name` with the words in braces filled in. Words are identifiers or built from them."""
    text = _statements()[name]
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def checked(name: str, what: str = "name") -> str:
    """Return `name` when it can stand in SQL as an identifier.

    Raises:
        InvalidInput: it has other signs than letters, digits and underscores, or begins with a digit.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a {what}: letters, digits and underscores only, no digit first.")
    return name


def quoted(text: str) -> str:
    """Return `text` as a SQL string literal; used for checked names only, values are parameters."""
    return "'" + text.replace("'", "''") + "'"
