"""Bounds of a column's type: NUMERIC(precision, scale), STRING(length), and the same of BIGNUMERIC and BYTES.

A number is rounded to the scale, half away from zero, and refused when it has more digits before the point; a string
that is longer is refused. (GoogleSQL reference, "Parameterized data types".)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DECIMALS: Final[Mapping[str, tuple[int, int]]] = {"NUMERIC": (29, 9), "BIGNUMERIC": (38, 38)}
BOUNDED: Final = frozenset({*DECIMALS, "STRING", "BYTES"})


def with_bounds(name: str, bounds: tuple[int, ...]) -> str:
    """Return a type as it is declared: `NUMERIC(10, 2)`; the name alone without bounds."""
    return f"{name}({', '.join(map(str, bounds))})" if bounds else name


def bounds_problem(name: str, bounds: tuple[int, ...]) -> str | None:
    """Return what is wrong with the bounds of a type, None when BigQuery has such a type."""
    if name not in BOUNDED:
        return f"{name} takes no length or precision"
    if name not in DECIMALS:
        return None if len(bounds) == 1 and bounds[0] > 0 else f"{name} takes one length, at least 1"
    if len(bounds) not in {1, 2}:
        return f"{name} takes a precision and a scale"
    digits, places = bounds[0], (*bounds, 0)[1]
    whole_most, places_most = DECIMALS[name]
    if places > places_most or not max(1, places) <= digits <= places + whole_most:
        return f"{name} has at most {whole_most} digits before the point and {places_most} after it"
    return None


def whole_and_places(bounds: tuple[int, ...]) -> tuple[int, int]:
    """Return how many digits a bounded number may have before the point, and how many it keeps after it."""
    places = (*bounds, 0)[1]
    return bounds[0] - places, places
