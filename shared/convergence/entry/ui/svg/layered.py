"""Places for the boxes and edges of a graph, left to right.

The layout is the classic layered one (Sugiyama, Tagawa, Toda 1981): a node is one layer after the last of its
dependencies, an edge over several layers goes through a slot in each, and sweeps by the mean place of the neighbours
remove crossings. Time: O(sweeps × edges × log) for graphs as large as pipelines are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from convergence.domain.plan import topological_order

SWEEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Spacing:
    """Sizes in pixels: a box's height, the gaps between boxes, and the margin around all."""

    height: float
    gap_x: float
    gap_y: float
    margin: float


@dataclass(frozen=True, slots=True)
class Place:
    """A box: its upper left corner, its width and its height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The height at which edges meet the box."""
        return self.y + self.height / 2


_Node = str | tuple[str, str, int]  # a step, or the slot of an edge in a layer
Point = tuple[float, float, float]  # x where a bend begins, x where it ends, y


def layout(
    depends_on: Mapping[str, Sequence[str]], widths: Mapping[str, float], by: Spacing
) -> tuple[dict[str, Place], dict[tuple[str, str], list[Point]]]:
    """Return the place of each node, and of each edge the bends: where it passes through layers between its ends."""
    layers, edges = _layers({name: [d for d in needed if d in depends_on] for name, needed in depends_on.items()})
    _untangle(layers, edges)
    columns = [max((widths[node] for node in layer if isinstance(node, str)), default=40.0) for layer in layers]
    tallest = max(map(len, layers), default=0)
    places: dict[str, Place] = {}
    bends: dict[tuple[str, str], list[Point]] = {}
    x = float(by.margin)
    for layer, width in zip(layers, columns, strict=True):
        y = by.margin + (tallest - len(layer)) * (by.height + by.gap_y) / 2
        for node in layer:
            if isinstance(node, str):
                places[node] = Place(x, y, width, by.height)
            else:
                bends.setdefault(node[:2], []).append((x, x + width, y + by.height / 2))
            y += by.height + by.gap_y
        x += width + by.gap_x
    return places, bends


def curve(left: Place, right: Place, bends: Sequence[Point], tip: float = 6) -> str:
    """Return the path of an edge as SVG writes it, ending `tip` pixels in front of the right box."""
    x, y = left.x + left.width, left.middle
    path = f"M{x:.0f} {y:.0f}"
    for x1, x2, bend_y in [*bends, (right.x - tip, right.x - tip, right.middle)]:
        path += f" C{(x + x1) / 2:.0f} {y:.0f} {(x + x1) / 2:.0f} {bend_y:.0f} {x1:.0f} {bend_y:.0f}"
        path += f" H{x2:.0f}" if x2 > x1 else ""
        x, y = x2, bend_y
    return path


def _layers(depends_on: Mapping[str, Sequence[str]]) -> tuple[list[list[_Node]], list[tuple[_Node, _Node]]]:
    """Put each step after its dependencies, and a slot into each layer that an edge crosses."""
    order, _ = topological_order(depends_on)
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = max((depth[dependency] + 1 for dependency in depends_on[name]), default=0)
    layers: list[list[_Node]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    edges: list[tuple[_Node, _Node]] = []
    for name in order:
        layers[depth[name]].append(name)
    for name in order:
        for dependency in dict.fromkeys(depends_on[name]):
            before: _Node = dependency
            for level in range(depth[dependency] + 1, depth[name]):
                slot = (dependency, name, level)
                layers[level].append(slot)
                edges.append((before, slot))
                before = slot
            edges.append((before, name))
    return layers, edges


def _untangle(layers: list[list[_Node]], edges: Sequence[tuple[_Node, _Node]]) -> None:
    """Order each layer by the mean place of its neighbours, forward and back; ties keep their order."""
    before: dict[_Node, list[_Node]] = {}
    after: dict[_Node, list[_Node]] = {}
    for left, right in edges:
        after.setdefault(left, []).append(right)
        before.setdefault(right, []).append(left)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        near = before if forward else after
        for layer, fixed in (
            zip(layers[1:], layers, strict=False) if forward else zip(layers[-2::-1], layers[:0:-1], strict=False)
        ):
            at = {node: (index + 0.5) / len(fixed) for index, node in enumerate(fixed)}
            own = {node: (index + 0.5) / len(layer) for index, node in enumerate(layer)}
            layer.sort(key=lambda node: _mean([at[other] for other in near.get(node, ())], own[node]))


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default
