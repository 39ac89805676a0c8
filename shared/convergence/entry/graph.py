"""Draw a pipeline as Mermaid text, or as an SVG with its own layout.

The layout is the classic layered one (Sugiyama, Tagawa, Toda 1981): a step stands one layer behind the last of its
dependencies, an edge over several layers goes through a slot in each, and sweeps by the mean place of the neighbours
remove crossings. Time: O(sweeps × edges × log) for graphs as large as pipelines are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import Step
from convergence.domain.plan import topological_order

SWEEPS: Final = 8
_BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 46, 64, 22, 24
_CHAR_WIDTH = 7.3  # of the widest usual letters at 12 px


def mermaid(loaded: LoadedPipeline) -> str:
    """Return a Mermaid flowchart: steps left to right, end steps in a separate box."""
    steps = loaded.pipeline.steps
    number = {step.step_id: f"s{index}" for index, step in enumerate(steps)}
    lines = ["flowchart LR"]
    lines.extend(f"    {number[step.step_id]}{_mermaid_box(step)}" for step in steps if step.trigger is None)
    for step in steps:
        lines.extend(f"    {number[name]} --> {number[step.step_id]}" for name in dict.fromkeys(step.depends_on))
    end_steps = [step for step in steps if step.trigger is not None]
    if end_steps:
        lines.append('    subgraph end_steps ["when the run has ended"]')
        lines.extend(f"        {number[step.step_id]}{_mermaid_box(step)}" for step in end_steps)
        lines.append("    end")
    return "\n".join(lines) + "\n"


def svg(loaded: LoadedPipeline) -> str:
    """Return a standalone SVG; colours follow the reader's light or dark setting."""
    graph = [step for step in loaded.pipeline.steps if step.trigger is None]
    end_steps = [step for step in loaded.pipeline.steps if step.trigger is not None]
    boxes, bends = _layout(graph)
    width = max((box.x + box.width for box in boxes.values()), default=0.0)
    height = max((box.y + _BOX_HEIGHT for box in boxes.values()), default=0.0)
    height = max([height, *(point[2] for points in bends.values() for point in points)])
    parts = [
        _edge(boxes[name], boxes[step.step_id], bends.get((name, step.step_id), ()))
        for step in graph
        for name in dict.fromkeys(step.depends_on)
    ]
    parts += [_box(step, boxes[step.step_id]) for step in graph]
    if end_steps:
        height += _GAP_Y * 2
        parts.append(f'<text class="note" x="{_MARGIN}" y="{height:.0f}">when the run has ended</text>')
        x, top = float(_MARGIN), height + 10
        for step in end_steps:
            box = _Place(x, top, _width(step))
            parts.append(_box(step, box))
            x += box.width + _GAP_X / 2
        width, height = max(width, x - _GAP_X / 2), top + _BOX_HEIGHT
    width, height = width + _MARGIN, height + _MARGIN
    title = escape(loaded.pipeline.name or loaded.path)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label={quoteattr(f"Steps of {loaded.path}")}>\n'
        f"<title>{title}</title>\n{_STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.y + _BOX_HEIGHT / 2


_Node = str | tuple[str, str, int]  # a step, or the slot of an edge in a layer
_Point = tuple[float, float, float]  # x where a bend begins, x where it ends, y


def _layout(steps: Sequence[Step]) -> tuple[dict[str, _Place], dict[tuple[str, str], list[_Point]]]:
    by_id = {step.step_id: step for step in steps}
    layers, edges = _layers({name: [d for d in step.depends_on if d in by_id] for name, step in by_id.items()})
    _untangle(layers, edges)
    widths = [max((_width(by_id[node]) for node in layer if isinstance(node, str)), default=40.0) for layer in layers]
    tallest = max(map(len, layers), default=0)
    places: dict[str, _Place] = {}
    bends: dict[tuple[str, str], list[_Point]] = {}
    x = float(_MARGIN)
    for layer, width in zip(layers, widths, strict=True):
        y = _MARGIN + (tallest - len(layer)) * (_BOX_HEIGHT + _GAP_Y) / 2
        for node in layer:
            if isinstance(node, str):
                places[node] = _Place(x, y, width)
            else:
                bends.setdefault(node[:2], []).append((x, x + width, y + _BOX_HEIGHT / 2))
            y += _BOX_HEIGHT + _GAP_Y
        x += width + _GAP_X
    return places, bends


def _layers(depends_on: Mapping[str, Sequence[str]]) -> tuple[list[list[_Node]], list[tuple[_Node, _Node]]]:
    """Put each step behind its dependencies, and a slot into each layer that an edge crosses."""
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


def _edge(left: _Place, right: _Place, bends: Sequence[_Point]) -> str:
    x, y = left.x + left.width, left.middle
    path = f"M{x:.0f} {y:.0f}"
    for x1, x2, bend_y in [*bends, (right.x - 6, right.x - 6, right.middle)]:
        path += f" C{(x + x1) / 2:.0f} {y:.0f} {(x + x1) / 2:.0f} {bend_y:.0f} {x1:.0f} {bend_y:.0f}"
        path += f" H{x2:.0f}" if x2 > x1 else ""
        x, y = x2, bend_y
    return f'<path class="edge" d="{path}" marker-end="url(#tip)"/>'


def _box(step: Step, place: _Place) -> str:
    kind = "end-step" if step.trigger is not None else "off" if step.enabled is False else "step"
    hint = escape("\n".join(part for part in (step.name, step.description, _detail(step)) if part))
    return (
        f'<g class="{kind}"><title>{hint}</title>'
        f'<rect x="{place.x:.0f}" y="{place.y:.0f}" width="{place.width:.0f}" height="{_BOX_HEIGHT}" rx="7"/>'
        f'<text x="{place.x + 12:.0f}" y="{place.y + 19:.0f}">{escape(step.step_id)}</text>'
        f'<text class="kind" x="{place.x + 12:.0f}" y="{place.y + 36:.0f}">{escape(_kind(step))}</text></g>'
    )


def _width(step: Step) -> float:
    return max(len(step.step_id), len(_kind(step))) * _CHAR_WIDTH + 24


def _kind(step: Step) -> str:
    if step.trigger is not None:
        return f"{step.trigger}: {step.ps_type}"
    return step.ps_type + (" ?" if step.when is not None else "")


def _detail(step: Step) -> str:
    parts = [f"when {step.when}"] if step.when is not None else []
    if step.retry.max_attempts > 1:
        parts.append(f"{step.retry.max_attempts} attempts")
    if step.on_failure == "continue":
        parts.append("the run continues if it fails")
    return ", ".join(parts)


def _mermaid_box(step: Step) -> str:
    label = f"{step.step_id}<br/>{_kind(step)}".replace("&", "#amp;").replace('"', "#quot;")
    return f'(["{label}"])' if step.trigger is not None else f'["{label}"]'


_STYLE: Final = """<style>
  svg { color-scheme: light dark; font: 12px ui-sans-serif, system-ui, sans-serif; }
  rect { fill: light-dark(#f4f7fb, #1c2430); stroke: light-dark(#7f93ad, #5c708c); }
  text { fill: light-dark(#17212e, #e3eaf3); font-weight: 600; }
  .kind, .note { fill: light-dark(#54657a, #9fb0c4); font-weight: 400; font-size: 11px; }
  .end-step rect { stroke-dasharray: 5 4; } .off { opacity: .45; }
  .edge { fill: none; stroke: light-dark(#8a9bb0, #6b7f99); stroke-width: 1.5; }
  #tip path { fill: light-dark(#8a9bb0, #6b7f99); }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z"/></marker></defs>"""
