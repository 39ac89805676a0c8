"""`openai.reconciliation`: computed cost against the provider's bill → `openai_cost_daily_reconciled`.

A line item of the bill, such as `gpt-4o, cached input`, names a model and a kind of charge.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from convergence.processors.genai.pairs import Line
from convergence.processors.genai.prices.price import TOKEN_KINDS
from convergence.processors.genai.reconciliation import ReconciliationProcessor
from convergence.processors.openai.charges import METRICS

CHARGES: Final = frozenset({*TOKEN_KINDS, *(charge for _, charge in METRICS.values())})
UNKNOWN: Final = "unknown"

# The bill's unit → how much of our consumed unit it is.
FACTORS: Final = {
    "1000_tokens": Decimal(1000),
    "duration_minutes": Decimal(60),
    "duration_hours": Decimal(3600),
}


# The bill's terms for cache writes → kind of charge.
WRITES: Final = {"cache_writes": "cache_write", "cache_writes_-_12hr": "cache_write_12h"}


def line(item: str | None, unit: str | None) -> tuple[str, str, Decimal]:
    """Return (model or "", kind of charge, factor to our unit); a kind that is not understood is `unknown`."""
    text = item or ""
    model, _, words = text.rpartition(", ")
    charge = words.strip().lower().replace(" ", "_")
    charge = WRITES.get(charge, charge)
    factor = FACTORS.get(unit or "", Decimal(1))
    return (model, charge, factor) if charge in CHARGES else (text, UNKNOWN, factor)


class OpenAIReconciliation(ReconciliationProcessor):
    """Compares `openai.cost` with `openai.billing`."""

    fixed_table = "openai_cost_daily_reconciled"
    usage_table = "openai_usage_daily_raw"
    computed_table = "openai_cost_daily"
    billed_table = "openai_billing_daily_raw"
    prices_table = "openai_model_pricing"

    def line(self, item: str | None, unit: str | None) -> Line:
        """Return model, kind of charge and factor of a line item."""
        return line(item, unit)


def get_engine() -> OpenAIReconciliation:
    """Return the processor."""
    return OpenAIReconciliation()
