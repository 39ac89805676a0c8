"""`anthropic.cost`: usage × dated price list → `anthropic_cost_daily`, an estimate at list prices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from convergence.ports.warehouse import Row
from convergence.processors.anthropic.charges import cost_rows
from convergence.processors.genai.cost import CostProcessor
from convergence.processors.genai.prices.lookup import PriceBook


class AnthropicCostProcessor(CostProcessor):
    """Prices what `anthropic.usage` extracted."""

    fixed_table = "anthropic_cost_daily"
    prices_table = "anthropic_model_pricing"
    usage_table = "anthropic_usage_daily_raw"
    seeded_by = "anthropic/auth/setup"

    def cost_rows(self, usage: Row, book: PriceBook) -> Iterable[dict[str, Any]]:
        """Return the charges of one row of usage."""
        return cost_rows(usage, book)


def get_engine() -> AnthropicCostProcessor:
    """Return the processor."""
    return AnthropicCostProcessor()
