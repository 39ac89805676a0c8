"""Sums of money with all their digits: Python's own keep 28."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)  # BIGNUMERIC has up to 77 digits


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Return a sum with all digits."""
    total = Decimal(0)
    for value in values:
        total = EXACT.add(total, value)
    return total


def exact_text(value: Decimal) -> str:
    """Return every digit of a number and no more, without an exponent."""
    return f"{value.normalize(EXACT):f}"
