"""The end of a page of a query, as opaque text that callers hand back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson

from convergence.errors import InvalidInput


def cursor(values: Sequence[Any]) -> str:
    """Return the cursor for a last row's order values and id."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


def place(text: str, length: int) -> list[Any]:
    """Return the position of a cursor: `length` scalars. Raises `InvalidInput` for one that is not ours."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(text))
    except ValueError as error:
        raise InvalidInput("the cursor is unknown; begin without one") from error
    if not isinstance(values, list) or len(values) != length or any(isinstance(v, list | dict) for v in values):
        raise InvalidInput("the cursor belongs to another list; begin without one")
    return values
