"""Times as the documents store them: fixed-width UTC text, so that text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(at: datetime) -> str:
    """Return `2026-01-02T03:04:05.678901Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at.tzinfo is not UTC else _fast(at)


def from_text(text: str) -> datetime:
    """Parse what `to_text` wrote."""
    return datetime.fromisoformat(text)


def _fast(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")[:-6] + "Z"
