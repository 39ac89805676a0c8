"""The shipped price list of OpenAI."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from convergence.processors.genai.prices.lookup import PriceBook
from tests.unit.processors.step_world import CONFIGS


def listed(provider: str = "openai") -> Iterator[dict[str, Any]]:
    """The seed's rows as the warehouse gives them back."""
    with (CONFIGS / f"{provider}/seed/model_pricing.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            dates = {
                name: date.fromisoformat(row[name]) if row[name] else None
                for name in ("effective_from", "effective_to")
            }
            above = int(row["above_input_tokens"])
            yield {**row, **dates, "price": Decimal(row["price"]), "above_input_tokens": above}


BOOK = PriceBook(listed())
