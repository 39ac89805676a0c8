"""The history inside a document: every move with time and reason, capped so that it never grows without end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from convergence.domain.times import from_text, to_text

KEPT_FIRST: Final = 10
KEPT_MAX: Final = 50


class Transition(NamedTuple):
    """One move."""

    at: datetime
    to: str
    why: str


def appended(history: tuple[Transition, ...], move: Transition) -> tuple[Transition, ...]:
    """Append; over the cap the oldest after the first ten go, because beginnings and ends explain most."""
    if len(history) >= KEPT_MAX:
        history = history[:KEPT_FIRST] + history[KEPT_FIRST + 1 :]
    return (*history, move)


def to_list(history: Sequence[Transition]) -> list[list[str]]:
    """Return `[[at, to, why], …]`."""
    return [[to_text(at), str(to), why] for at, to, why in history]


def from_list(items: Sequence[Sequence[str]]) -> tuple[Transition, ...]:
    """Rebuild from `to_list`."""
    return tuple(Transition(from_text(at), to, why) for at, to, why in items)
