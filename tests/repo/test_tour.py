"""The tour's pictures are there, small, and those that the browser's tests make."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BYTES_MAX = 120_000


def test_every_picture_of_the_tour_is_small_and_used() -> None:
    named = re.findall(r"!\[[^\]]+\]\(tour/([a-z-]+)\.png\)", (DOCS / "tour.md").read_text())
    there = {file.stem: file.stat().st_size for file in (DOCS / "tour").iterdir()}
    assert set(named) == set(there)
    assert len(named) >= 6
    assert max(there.values()) < BYTES_MAX, there


def test_the_browsers_tests_make_every_picture_of_the_tour() -> None:
    made = "".join(file.read_text() for file in (DOCS.parent / "tests" / "browser").glob("test_*.py"))
    for picture in (DOCS / "tour").iterdir():
        assert f'"{picture.stem}"' in made, picture.stem
