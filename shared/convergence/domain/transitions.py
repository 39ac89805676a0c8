"""The history inside a document: every move with time and reason, capped so that it does not grow without limit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from convergence.domain.times import to_text

KEPT_FIRST: Final = 10
KEPT_MAX: Final = 50

# [time as text, status, reason]: what the document holds. Loaded far more often than inspected, so it stays raw.
RawTransition = Sequence[str]


def appended(history: Sequence[RawTransition], at: datetime, to: str, reason: str) -> list[RawTransition]:
    """Append a move; over the cap, drop the oldest after the first ten: beginnings and ends explain most."""
    kept = list(history) if len(history) < KEPT_MAX else [*history[:KEPT_FIRST], *history[KEPT_FIRST + 1 :]]
    kept.append((to_text(at), to, reason))
    return kept
