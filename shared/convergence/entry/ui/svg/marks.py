"""The marks of a pipeline's last runs, and the small line of a trend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from convergence.entry.ui.statuses import shown

_STEP: Final = 7  # from one mark to the next
_WIDTH, _HEIGHT, _EDGE = 72.0, 18.0, 2.0  # of a trend


class Mark(NamedTuple):
    """One run: where its mark is drawn, in pixels, and as what."""

    x: int
    colour: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Spark:
    """A trend: points of a line, its end, and the figures that it goes through."""

    points: str
    x: float
    y: float
    lowest: float
    highest: float
    latest: float
    count: int


def marks(statuses: Sequence[str], places: int) -> tuple[list[Mark], str]:
    """Return the marks, the newest at the right, and the same in words."""
    looks = [shown(status) for status in statuses]
    first = places - len(looks)
    found = [Mark(2 + _STEP * (first + at), look.colour, look.symbol) for at, look in enumerate(looks)]
    counted = Counter(look.word.lower() for look in looks)
    words = ", ".join(f"{count} {word}" for word, count in counted.most_common())
    return found, f"{words}; newest {looks[-1].word.lower()}." if looks else "No runs yet."


def spark(values: Sequence[float]) -> Spark | None:
    """Return the trend of the values, oldest first; None without any."""
    if not values:
        return None
    low, high = min(values), max(values)
    span, steps = high - low or 1, max(1, len(values) - 1)
    xs = [1 + (_WIDTH - _EDGE) * at / steps for at in range(len(values))]
    ys = [_HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (value - low) / span for value in values]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return Spark(points, round(xs[-1], 1), round(ys[-1], 1), low, high, values[-1], len(values))
