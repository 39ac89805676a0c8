"""The graph of a run's steps: boxes and edges with their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from convergence.entry.ui.svg.layered import Spacing, curve, layout

STEPS_MAX: Final = 80  # more do not fit on a page; the table has them
_BY: Final = Spacing(height=28, gap_x=28, gap_y=14, margin=2)
_CHAR_WIDTH: Final = 7.0
_SYMBOL: Final = 40  # pixels for the symbol and the space around the text
_NAME_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Box:
    """A step: its place in pixels, its name as far as it fits, its status."""

    x: int
    y: int
    width: int
    height: int
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class Graph:
    """The drawing. `words` say what leads to what."""

    width: int
    height: int
    boxes: Sequence[Box]
    edges: Sequence[str]
    words: str


def step_graph(depends_on: Mapping[str, Sequence[str]], statuses: Mapping[str, str]) -> Graph | None:
    """Return the graph; None when it has too many steps to be read."""
    if not 1 < len(depends_on) <= STEPS_MAX:
        return None
    shown = {name: name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 1] + "…" for name in depends_on}
    widths = {name: len(text) * _CHAR_WIDTH + _SYMBOL for name, text in shown.items()}
    places, bends = layout(depends_on, widths, _BY)
    pairs = [(left, name) for name, needed in depends_on.items() for left in dict.fromkeys(needed) if left in places]
    edges = [curve(places[left], places[right], bends.get((left, right), ()), tip=0) for left, right in pairs]
    lowest = [point[2] for points in bends.values() for point in points]
    height = max([*(place.y + place.height for place in places.values()), *lowest]) + _BY.margin
    width = max(place.x + place.width for place in places.values()) + _BY.margin
    boxes = [
        Box(round(place.x), round(place.y), round(place.width), _BY_HEIGHT, shown[name], statuses.get(name, ""))
        for name, place in places.items()
    ]
    words = "; ".join(f"{', '.join(needed)} before {name}" for name, needed in depends_on.items() if needed)
    return Graph(round(width), round(height), boxes, edges, words)


_BY_HEIGHT: Final = round(_BY.height)
