"""Published price lists, as genai-prices and LiteLLM publish theirs: today's prices of the models that are billed here.

Both are made of the same file, so that they agree with each other and with the bill.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

from convergence.domain.money import exact_text
from convergence.sandbox.aggregate import DATA, PRICES_FILE
from convergence.sandbox.http import Request, Response

PREFIX: Final = "/v1/prices/"
# LiteLLM's field → genai-prices's, USD per token → USD per million.
FIELDS: Final = {
    "input_cost_per_token": "input_mtok",
    "output_cost_per_token": "output_mtok",
    "cache_read_input_token_cost": "cache_read_mtok",
    "cache_creation_input_token_cost": "cache_write_mtok",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_mtok",
}
VARIANTS: Final = {"_batches": ("processing", "batch"), "_flex": ("service_tier", "flex"),
                   "_priority": ("service_tier", "priority")}  # fmt: skip


def is_ours(path: str) -> bool:
    """Whether the path is that of a price list."""
    return path.startswith(PREFIX)


def answer(request: Request) -> Response:
    """Return a list; 404 for one that does not exist. No key is needed."""
    lists = {"genai.json": _genai, "litellm.json": _litellm}
    made = lists.get(request.path.removeprefix(PREFIX))
    return Response(404, b'{"message": "Not Found"}') if made is None else Response(200, made())


@lru_cache(maxsize=1)
def _litellm() -> bytes:
    return orjson.dumps(
        {
            name: {
                "litellm_provider": _provider(name),
                **{field: _number(Decimal(price)) for field, price in prices.items() if isinstance(price, str)},
            }
            for name, prices in _models().items()
        }
    )


@lru_cache(maxsize=1)
def _genai() -> bytes:
    providers: dict[str, list[dict[str, Any]]] = {"openai": [], "anthropic": []}
    for name, prices in _models().items():
        variants = [
            {"when": {key: processing}, "prices": found}
            for suffix, (key, processing) in VARIANTS.items()
            if (found := _million(prices, suffix))
        ]
        standard = _million(prices, "")
        if standard:
            model = {"id": name, "match": {"equals": name}, "prices": standard, "price_variants": variants}
            providers[_provider(name)].append(model)
    return orjson.dumps(
        [{"id": provider, "name": provider, "models": models} for provider, models in providers.items()]
    )


def _million(prices: dict[str, Any], suffix: str) -> dict[str, Any]:
    return {
        theirs: _number(Decimal(prices[field + suffix]) * 1_000_000)
        for field, theirs in FIELDS.items()
        if field + suffix in prices
    }


def _models() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((DATA / PRICES_FILE).read_text("utf-8"))["models"]
    return {name: prices for name, prices in found.items() if "/" not in name}


def _provider(name: str) -> str:
    return "anthropic" if name.startswith("claude") else "openai"


def _number(value: Decimal) -> orjson.Fragment:
    return orjson.Fragment(exact_text(value).encode())
