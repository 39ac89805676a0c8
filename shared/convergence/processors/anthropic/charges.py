"""The charges for a row of Anthropic's usage."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.warehouse import Row
from convergence.processors.genai.charge import charge, unknown_counts
from convergence.processors.genai.prices.additions import US, has_inference_geo
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.prices.price import STANDARD, TOKEN_KINDS, Price

# Column → kind of charge. The counts are disjoint.
KINDS: Final = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cached_input",
    "cache_write_5m_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_tokens": "output",
    "web_search_requests": "web_search",
}
# The report's range of request lengths → input tokens that select the step of the price list.
WINDOWS: Final = {None: 0, "0-200k": 0, "200k-1M": 200_001}
# Where inference ran. The price list does not cover others, so a new place stops the step instead of being priced like
# any other.
PLACES: Final = frozenset({None, "global", US, "not_available"})
# Counted, but never charged for: "the web fetch tool is available at no additional cost" (pricing page).
FREE: Final = frozenset({"server_tool_use_web_fetch_requests"})
WHO: Final = ("usage_date", "usage_kind", "workspace_id", "api_key_id", "model")


def cost_rows(usage: Row, book: PriceBook) -> Iterator[dict[str, Any]]:
    """Yield the rows of `anthropic_cost_daily` for one row of usage, one for each kind of charge.

    Raises `StepFailed` for a context window without a known step of the price list, and for an unknown place.
    """
    if usage["context_window"] not in WINDOWS:
        raise StepFailed(f"{usage['usage_date']}: the context window {usage['context_window']!r} is not known here")
    tokens = Decimal(WINDOWS[usage["context_window"]])
    processing, place = _processing(usage), usage.get("inference_geo")
    if place not in PLACES:
        raise StepFailed(f"{usage['usage_date']}: the inference_geo {place!r} is not known here")
    listed = None if usage["model"] is None else book.model(usage["model"])
    counts = {kind: int(usage[column] or 0) for column, kind in KINDS.items()} | _unknown(usage)
    for kind, quantity in counts.items():
        if quantity:
            row = {name: usage[name] for name in WHO} | {"charge_kind": kind, "processing": processing}
            found = None if listed is None else book.find(listed, kind, processing, usage["usage_date"], tokens, place)
            if found is not None and _is_dearer_in_the_us(found.price, place):
                found = None
            yield charge(row, quantity, listed=listed, found=found)


def _unknown(usage: Row) -> dict[str, int]:
    """Return unknown counts by the name of their field: they are disjoint from all others."""
    counts = unknown_counts(usage, ("_tokens", "_requests"))
    return {name: count for name, count in counts.items() if name not in FREE}


def _is_dearer_in_the_us(price: Price, place: str | None) -> bool:
    """Whether usage in the US would be charged at the price for any place: with a list that was seeded before it had
    rows for the US, or a model that was added without them."""
    return place == US and price.region != US and price.kind in TOKEN_KINDS and has_inference_geo(price.model)


def _processing(usage: Row) -> str:
    """Return the processing of the price list. Fast mode is sold with the standard tier only; a fast batch, or an
    unknown speed, is a processing without a price and does not get the price of another."""
    tier, speed = usage["service_tier"] or STANDARD, usage.get("speed") or STANDARD
    if speed == STANDARD:
        return tier
    return speed if tier == STANDARD else f"{tier} {speed}"


def line(item: str | None) -> tuple[str, str, Decimal]:
    """Return (model, kind of charge, 1) of the line that `anthropic.billing` writes; else the kind `unknown`."""
    model, _, word = (item or "").rpartition(", ")
    kind = LINES.get(word)
    return (model, kind, Decimal(1)) if kind else (item or "", "unknown", Decimal(1))


# Token types and cost types of the cost report → kind of charge.
LINES: Final = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cached_input",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
    "output_tokens": "output",
    "web_search": "web_search",
}
