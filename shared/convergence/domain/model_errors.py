"""What pydantic reports about one field, as users read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def message_of(detail: Mapping[str, Any]) -> str:
    """Return the message of one of `ValidationError.errors()`, without the prefix that pydantic gives our own."""
    return str(detail["msg"]).removeprefix("Value error, ")
