"""The sandbox's bill: every request group priced by LiteLLM's list. No date, no tier by context: today's list price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from convergence.sandbox.aggregate import DATA, PRICES_FILE
from convergence.sandbox.kinds import KINDS
from convergence.sandbox.traffic import Result, rows

_SUFFIX: Final = {"batch": "_batches", "flex": "_flex", "priority": "_priority"}
_IMAGE: Final = "medium/1024-x-1024/gpt-image-1"  # the trace has no images, so their quality is assumed too


class Charge(NamedTuple):
    """A part of the bill; `amount` in USD."""

    line_item: str
    project_id: str
    api_key_id: str | None
    quantity: int
    quantity_unit: str | None
    amount: Decimal


@lru_cache(maxsize=1)
def _prices() -> dict[str, dict[str, Any]]:
    models: dict[str, dict[str, Any]] = json.loads((DATA / PRICES_FILE).read_text("utf-8"))["models"]
    return models


def _price(model: str, key: str, processing: str = "standard") -> Decimal:
    """The list's price; by default a processing mode costs as much as standard, cached input as much as full input."""
    listed = _prices()[model]
    names = [key + _SUFFIX.get(processing, ""), key, "input_cost_per_token"]
    return Decimal(next(listed[name] for name in names if name in listed))


def _lines(kind: str, row: Result) -> Iterator[tuple[str, int, str | None, Decimal]]:
    """Yield (line item, quantity, unit, unit price)."""
    model = str(row.get("model"))
    if kind == "completions":
        processing = "batch" if row["batch"] else str(row["service_tier"])
        for name, metric, key in (
            ("input", "input_uncached_tokens", "input_cost_per_token"),
            ("cached input", "input_cached_tokens", "cache_read_input_token_cost"),
            ("cache write", "input_cache_write_tokens", "cache_creation_input_token_cost"),
            ("output", "output_tokens", "output_cost_per_token"),
        ):
            if quantity := int(row[metric] or 0):
                yield f"{model}, {name}", quantity, "tokens", _price(model, key, processing)
    elif kind in {"embeddings", "moderations"}:
        yield f"{model}, input", int(row["input_tokens"] or 0), "tokens", _price(model, "input_cost_per_token")
    elif kind == "images":
        yield f"{model}, image", int(row["images"] or 0), "images", Decimal(_prices()[_IMAGE]["input_cost_per_image"])
    elif kind == "audio_speeches":
        yield (
            f"{model}, character",
            int(row["characters"] or 0),
            "characters",
            _price(model, "input_cost_per_character"),
        )
    elif kind == "audio_transcriptions":
        yield f"{model}, second", int(row["seconds"] or 0), "duration_seconds", _price(model, "input_cost_per_second")
    elif kind == "code_interpreter_sessions":
        price = _price("openai/container", "code_interpreter_cost_per_session")
        yield "code interpreter session", int(row["num_sessions"] or 0), None, price
    elif kind == "web_search_calls":
        search = _prices()[model].get("search_context_cost_per_query")
        if search is not None:  # the list has no price for the others: they are not on the bill
            price = Decimal(search[f"search_context_size_{row['context_level']}"])
            yield f"{model}, web search", int(row["num_requests"] or 0), None, price


@lru_cache(maxsize=64)
def charges(start: int, end: int) -> tuple[Charge, ...]:
    """Return the bill's parts from `start` to before `end` (Unix seconds on full days), one per request group."""
    return tuple(
        Charge(line, str(row["project_id"]), _text(row.get("api_key_id")), quantity, unit, quantity * price)
        for kind in KINDS
        for row in rows(kind, start, end)
        for line, quantity, unit, price in _lines(kind, row)
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
