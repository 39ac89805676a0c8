"""The charges for a row of usage: quantities by kind, priced to the last digit.

Input tokens of the provider are a total: uncached = input - cached - cache write; audio and image tokens are parts
of it. A part that is not known here is neither priced as its total nor lost: it is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.processors.genai.charge import charge, unknown_counts
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.prices.price import STANDARD

# Kinds of usage whose totals are split by `_tokens`.
SPLIT: Final = frozenset({"completions", "embeddings", "moderations"})
# Other kinds of usage → (metric, kind of charge).
METRICS: Final = {
    "decisions": ("input_tokens", "decision_input"),
    "images": ("images", "image"),
    "audio_speeches": ("characters", "character"),
    "audio_transcriptions": ("seconds", "second"),
    "vector_stores": ("usage_bytes", "vector_store_byte"),
    "code_interpreter_sessions": ("num_sessions", "code_interpreter_session"),
    "file_search_calls": ("num_requests", "file_search"),
    "web_search_calls": ("num_requests", "web_search"),
}
_STANDARD_TIERS: Final = frozenset({"", "auto", "default", "standard"})

WHO: Final = ("usage_date", "usage_kind", "project_id", "user_id", "api_key_id", "model")

Usage = Mapping[str, Any]


def quantities(usage: Usage) -> Iterator[tuple[str, int]]:
    """Yield (kind of charge, quantity) of a row of `openai_usage_daily_raw`; zero quantities are left out.

    Tokens of a kind that is not known here have their field's name as their kind.

    Raises `StepFailed` when the parts of a total exceed it.
    """
    kind = usage["usage_kind"]
    unknown = unknown_counts(usage, ("_tokens",))
    if kind in SPLIT:
        parts = _tokens(usage, unknown)
    elif kind in METRICS:
        metric, charge = METRICS[kind]
        parts = {charge: _whole(usage, metric)}
    else:
        raise StepFailed(f"usage of kind {kind!r} is not known here: add it to charges.py")
    for charge, quantity in {**parts, **unknown}.items():
        if quantity < 0:
            where = f"{usage['usage_date']}, {usage['model']}"
            raise StepFailed(f"{where}: the parts of {charge.split('_')[-1]} tokens exceed their total ({quantity})")
        if quantity:
            yield charge, quantity


def _tokens(usage: Usage, unknown: Mapping[str, int]) -> dict[str, int]:
    cached, written = _whole(usage, "input_cached_tokens"), _whole(usage, "input_cache_write_tokens")
    written_12h = _whole(usage, "input_cache_write_12h_tokens")
    audio, image = _whole(usage, "input_audio_tokens"), _whole(usage, "input_image_tokens")
    cached_audio, cached_image = _whole(usage, "input_cached_audio_tokens"), _whole(usage, "input_cached_image_tokens")
    out_audio, out_image = _whole(usage, "output_audio_tokens"), _whole(usage, "output_image_tokens")
    other_in, other_out = (
        sum(count for name, count in unknown.items() if name.startswith(total)) for total in ("input_", "output_")
    )
    return {
        "input": _whole(usage, "input_tokens") - cached - written - written_12h - audio - image - other_in,
        "cached_input": cached - cached_audio - cached_image,
        "cache_write": written,
        "cache_write_12h": written_12h,
        "input_audio": audio,
        "input_image": image,
        "cached_input_audio": cached_audio,
        "cached_input_image": cached_image,
        "output": _whole(usage, "output_tokens") - out_audio - out_image - other_out,
        "output_audio": out_audio,
        "output_image": out_image,
    }


def cost_rows(usage: Usage, book: PriceBook) -> Iterator[dict[str, Any]]:
    """Yield the rows of `openai_cost_daily` for one row of usage, one for each kind of charge.

    Without a price, `cost` is NULL and `price_basis` gives the reason. Never zero.
    """
    requests = _whole(usage, "num_model_requests")
    total_input = Decimal(_whole(usage, "input_tokens"))
    mean_input = total_input / requests if requests else Decimal(0)
    longest = None if requests == 1 else total_input
    processing = "batch" if usage["batch"] else _processing(usage["service_tier"] or "")
    listed = book.model(usage["model"])
    for kind, quantity in quantities(usage):
        day = usage["usage_date"]
        found = None if listed is None else book.find(listed, kind, processing, day, mean_input, longest=longest)
        row = {name: usage[name] for name in WHO} | {"charge_kind": kind, "processing": processing}
        yield charge(row, quantity, listed=listed, found=found)


def _processing(service_tier: str) -> str:
    return STANDARD if service_tier in _STANDARD_TIERS else service_tier


def _whole(usage: Usage, metric: str) -> int:
    return int(usage.get(metric) or 0)
