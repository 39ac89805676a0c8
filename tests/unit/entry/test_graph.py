"""Pipelines as pictures."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from convergence.entry.graph import mermaid, svg
from tests.unit.config.builders import a_pipeline

DIAMOND = a_pipeline(
    """
name: "A & <B>"
steps:
  - {step_id: first, ps_type: generic.noop, description: "1 < 2"}
  - {step_id: left, ps_type: generic.noop, depends_on: first, when: "parameters.date > '2026'"}
  - {step_id: right, ps_type: generic.noop, depends_on: first, enabled: false}
  - {step_id: last, ps_type: generic.noop, depends_on: [left, right, first]}
  - {step_id: mail, ps_type: notify_systems.email_notification, trigger: on_failure}
"""
)


def boxes(picture: str) -> dict[str, tuple[float, float]]:
    """Step id → left upper corner."""
    pattern = r'<rect x="(\d+)" y="(\d+)"[^>]*/><text[^>]*>([^<]+)</text>'
    return {name: (float(x), float(y)) for x, y, name in re.findall(pattern, picture)}


def test_mermaid_shows_steps_edges_and_end_steps_apart() -> None:
    assert mermaid(DIAMOND).splitlines() == [
        "flowchart LR",
        '    s0["first<br/>generic.noop"]',
        '    s1["left<br/>generic.noop ?"]',
        '    s2["right<br/>generic.noop"]',
        '    s3["last<br/>generic.noop"]',
        "    s0 --> s1",
        "    s0 --> s2",
        "    s1 --> s3",
        "    s2 --> s3",
        "    s0 --> s3",
        '    subgraph end_steps ["when the run has ended"]',
        '        s4(["mail<br/>on_failure: notify_systems.email_notification"])',
        "    end",
    ]


def test_the_svg_is_well_formed_and_escapes_what_users_wrote() -> None:
    picture = svg(DIAMOND)
    root = ET.fromstring(picture)
    assert root.tag.endswith("svg")
    assert "<title>A &amp; &lt;B&gt;</title>" in picture
    assert "1 &lt; 2" in picture


def test_steps_stand_right_of_what_they_wait_for() -> None:
    at = boxes(svg(DIAMOND))
    assert at["first"][0] < at["left"][0] == at["right"][0] < at["last"][0]
    assert at["mail"][1] > max(y for name, (_, y) in at.items() if name != "mail")


def test_there_is_one_edge_for_each_dependency() -> None:
    assert svg(DIAMOND).count('class="edge"') == 5


def test_boxes_never_overlap() -> None:
    wide = "\n".join(f"  - {{step_id: s{n}, ps_type: generic.noop, depends_on: [root]}}" for n in range(30))
    at = boxes(svg(a_pipeline(f"steps:\n  - {{step_id: root, ps_type: generic.noop}}\n{wide}\n")))
    assert len(set(at.values())) == 31
    rows = sorted(y for name, (_, y) in at.items() if name != "root")
    assert all(low + 46 <= high for low, high in pairwise(rows))


def test_lines_that_need_not_cross_do_not() -> None:
    chains = ""
    for level, names in enumerate(("abc", "cab", "bca")):
        for name in names:
            before = f"{name}{level - 1}" if level else ""
            chains += f"  - {{step_id: {name}{level}, ps_type: generic.noop, depends_on: [{before}]}}\n"
    at = boxes(svg(a_pipeline(f"steps:\n{chains}")))

    def order(level: int) -> list[str]:
        return sorted("abc", key=lambda name: at[f"{name}{level}"][1])

    orders = [order(level) for level in range(3)]
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize("steps", [1, 400])
def test_a_picture_is_drawn_for_small_and_large(steps: int) -> None:
    chain = "".join(f"  - {{step_id: s{n}, ps_type: generic.noop}}\n" for n in range(steps))
    assert len(boxes(svg(a_pipeline(f"steps:\n{chain}")))) == steps
