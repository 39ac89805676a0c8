"""Numbers in sentences that people read."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return `1 run`, `1,036 runs`; `plural` where the noun takes more than an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
