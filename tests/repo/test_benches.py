"""Every shape of the bench is in the help of `make bench` and on the page about benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench.__main__ import SHAPES

ROOT = Path(__file__).parents[2]


def test_the_help_names_every_family_of_shapes() -> None:
    (listed,) = re.findall(r"^bench:.*SHAPE=(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name.partition("-")[0] for name in SHAPES} | {"all"} == set(listed.split("|"))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_pages_say_what_a_shape_measures(shape: str) -> None:
    pages = "".join((ROOT / "docs" / name).read_text() for name in ("benchmarks.md", "scale.md"))
    assert f"`{shape}`" in pages or f"SHAPE={shape}`" in pages
