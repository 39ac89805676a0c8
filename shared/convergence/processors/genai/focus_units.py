"""Units of providers as FOCUS names them (specification 1.3, unit format)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from convergence.domain.money import exact_text

# What billing exports call a unit → its FOCUS name.
NAMES: Final = {
    "count": "Count",
    "requests": "Requests",
    "seconds": "Seconds",
    "second": "Seconds",
    "minute": "Minutes",
    "hour": "Hours",
    "month": "Months",
    "gibibyte": "GiB",
    "gibibyte hour": "GiB-Hours",
    "gibibyte month": "GiB-Months",
    "byte": "B",
    "bytes": "B",
    "byte-seconds": "B-Seconds",
}


def focus_unit(unit: str, size: Decimal = Decimal(1)) -> str:
    """Return the FOCUS unit of `size` times `unit`; a unit that is not known here keeps its words, capitalised."""
    name = NAMES.get(unit.lower()) or "-".join(word[:1].upper() + word[1:] for word in unit.split())
    return name if size == 1 else f"{exact_text(size)} {name}"
