"""Amounts of Cost Explorer: decimal text and a unit."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, NamedTuple

from convergence.domain.money import EXACT
from convergence.errors import StepFailed

_NUMBER: Final = re.compile(r"-?\d{1,18}(\.\d{1,40})?([eE][+-]?\d{1,2})?")
_DIGITS: Final = Decimal(1).scaleb(-18)  # AWS computes in floats; this many places are kept, as for the other bills
NO_UNIT: Final = frozenset({"", "N/A"})  # the unit of sums over several units


class Amount(NamedTuple):
    """A number and its unit: a currency, or what is counted."""

    number: Decimal
    unit: str


def amount_of(found: Any, metric: str) -> Amount:
    """Return an amount. Raises `StepFailed` for text that is not a number: NaN, an infinity, a thousands separator."""
    text, unit = found["Amount"], found.get("Unit") or ""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text) or not isinstance(unit, str):
        raise StepFailed(f"Cost Explorer: {metric} is not an amount: {str(text)[:40]!r}; nothing was loaded")
    return Amount(Decimal(text).quantize(_DIGITS, rounding=ROUND_HALF_EVEN, context=EXACT), unit)
