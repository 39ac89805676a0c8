"""The warehouse's own SQL lives in `warehouse.sql`; this reads it, once."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


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


def quoted(text: str) -> str:
    """Return `text` as a SQL string literal; used for checked names only, values are parameters."""
    return "'" + text.replace("'", "''") + "'"
