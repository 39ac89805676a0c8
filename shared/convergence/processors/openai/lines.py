"""Line items of the provider's bill: `gpt-4o, cached input` names a model and a kind of charge."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from convergence.processors.genai.price import TOKEN_KINDS
from convergence.processors.openai.charges import METRICS

CHARGES: Final = frozenset({*TOKEN_KINDS, *(charge for _, charge in METRICS.values())})
UNKNOWN: Final = "unknown"

# The bill's unit → how much of our consumed unit it is.
FACTORS: Final = {
    "1000_tokens": Decimal(1000),
    "duration_minutes": Decimal(60),
    "duration_hours": Decimal(3600),
}


def line(item: str | None, unit: str | None) -> tuple[str, str, Decimal]:
    """Return (model or "", kind of charge, factor to our unit); a kind that is not understood is `unknown`."""
    text = item or ""
    model, _, words = text.rpartition(", ")
    charge = words.strip().lower().replace(" ", "_")
    factor = FACTORS.get(unit or "", Decimal(1))
    return (model, charge, factor) if charge in CHARGES else (text, UNKNOWN, factor)
