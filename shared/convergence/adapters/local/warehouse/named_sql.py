"""The warehouse's own SQL is in `warehouse.sql`; this reads it, once."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

_WORD: Final = re.compile(r"\{([a-z]+)\}")  # all at once: a value that looks like a placeholder stays as it is


@cache
def _statements() -> dict[str, str]:
    text = Path(__file__).with_name("warehouse.sql").read_text(encoding="utf-8")
    blocks = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(blocks[::2], blocks[1::2], strict=True)}


def statement(name: str, **words: str) -> str:
    """Return the statement `name` with the words in braces filled in: quoted names and text made of them."""
    return _WORD.sub(lambda found: words[found.group(1)], _statements()[name]) if words else _statements()[name]


def quoted(text: str) -> str:
    """Return `text` as a SQL string literal, for places where DuckDB takes no parameter: paths and views."""
    return "'" + text.replace("'", "''") + "'"
