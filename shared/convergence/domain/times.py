"""Times as the documents store them: fixed-width UTC text, so that text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=512)  # the times of a run are written again with each of its moves
def to_text(at: datetime) -> str:
    """Return `2026-01-02T03:04:05.678901Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def from_text(text: str) -> datetime:
    """Parse what `to_text` wrote."""
    return datetime.fromisoformat(text)
