"""Draw a pipeline as Mermaid text, or as an SVG of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import Step
from convergence.entry.ui.svg.layered import Place, Point, Spacing, curve, layout

_BY: Final = Spacing(height=46, gap_x=64, gap_y=22, margin=24)
_CHAR_WIDTH = 7.3  # of the widest usual characters at 12 px


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
    boxes, bends = layout(
        {step.step_id: step.depends_on for step in graph}, {step.step_id: _width(step) for step in graph}, _BY
    )
    width = max((box.x + box.width for box in boxes.values()), default=0.0)
    height = max((box.y + _BY.height for box in boxes.values()), default=0.0)
    height = max([height, *(point[2] for points in bends.values() for point in points)])
    parts = [
        _edge(boxes[name], boxes[step.step_id], bends.get((name, step.step_id), ()))
        for step in graph
        for name in dict.fromkeys(step.depends_on)
    ]
    parts += [_box(step, boxes[step.step_id]) for step in graph]
    if end_steps:
        height += _BY.gap_y * 2
        parts.append(f'<text class="note" x="{_BY.margin:.0f}" y="{height:.0f}">when the run has ended</text>')
        x, top = float(_BY.margin), height + 10
        for step in end_steps:
            box = Place(x, top, _width(step), _BY.height)
            parts.append(_box(step, box))
            x += box.width + _BY.gap_x / 2
        width, height = max(width, x - _BY.gap_x / 2), top + _BY.height
    width, height = width + _BY.margin, height + _BY.margin
    title = escape(loaded.pipeline.name or loaded.path)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label={quoteattr(f"Steps of {loaded.path}")}>\n'
        f"<title>{title}</title>\n{_STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _edge(left: Place, right: Place, bends: Sequence[Point]) -> str:
    return f'<path class="edge" d="{curve(left, right, bends)}" marker-end="url(#tip)"/>'


def _box(step: Step, place: Place) -> str:
    kind = "end-step" if step.trigger is not None else "off" if step.enabled is False else "step"
    hint = escape("\n".join(part for part in (step.name, step.description, _detail(step)) if part))
    return (
        f'<g class="{kind}"><title>{hint}</title>'
        f'<rect x="{place.x:.0f}" y="{place.y:.0f}" width="{place.width:.0f}" height="{_BY.height:.0f}" rx="7"/>'
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
