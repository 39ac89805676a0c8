"""`openai.cost`: usage × dated price list → `openai_cost_daily`, an estimate at list prices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from convergence.ports.warehouse import Row
from convergence.processors.genai.cost import CostProcessor
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.openai.charges import cost_rows


class OpenAICostProcessor(CostProcessor):
    """Prices what `openai.usage` extracted."""

    fixed_table = "openai_cost_daily"
    prices_table = "openai_model_pricing"
    usage_table = "openai_usage_daily_raw"
    seeded_by = "openai/auth/setup"

    def cost_rows(self, usage: Row, book: PriceBook) -> Iterable[dict[str, Any]]:
        """Return the charges of one row of usage."""
        return cost_rows(usage, book)


def get_engine() -> OpenAICostProcessor:
    """Return the processor."""
    return OpenAICostProcessor()
