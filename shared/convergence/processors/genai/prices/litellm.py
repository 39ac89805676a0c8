"""The second published list, LiteLLM's `model_prices_and_context_window.json`: where it disagrees with ours.

Its prices are USD per token, without dates and steps. They are compared, never adopted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.prices.price import STANDARD

# Field → kind of charge, then the processing.
_FIELDS: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
}
_SUFFIXES: Final = {"": STANDARD, "_batches": "batch", "_flex": "flex", "_priority": "priority"}
_MILLION: Final = 1_000_000


def disagreements(second: Mapping[str, Any], provider: str, book: PriceBook, today: date) -> Iterator[dict[str, Any]]:
    """Yield model, kind, processing, our price and theirs, in USD per million tokens; ours is None where we have none.

    Models that only one of the lists has are left out.
    """
    for name, entry in sorted(second.items()):
        model = book.model(name) if isinstance(entry, Mapping) and entry.get("litellm_provider") == provider else None
        if model is None:
            continue
        for field, kind in _FIELDS.items():
            for suffix, processing in _SUFFIXES.items():
                theirs = entry.get(field + suffix)
                if isinstance(theirs, bool) or not isinstance(theirs, int | float | Decimal):
                    continue
                found = book.find(model, kind, processing, today, Decimal(0))
                ours, price = found and found.price.price, Decimal(str(theirs)) * _MILLION
                if ours != price:
                    yield {"model": name, "kind": kind, "processing": processing, "ours": ours, "theirs": price}
