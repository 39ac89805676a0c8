"""The demo's sum, computed another way: from the sandbox's raw figures and the seeded price list, in Decimal.

Nothing of the pipeline's own code is used: another grouping, another price lookup.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

from convergence.sandbox import bill, traffic
from convergence.sandbox.kinds import KINDS

PRICES = Path(__file__).parents[2] / "configs" / "openai" / "seed" / "model_pricing.csv"
EXACT = Context(prec=60)
UNITS = {"1000000 Tokens": 10**6, "1000000 Characters": 10**6, "1000 Calls": 1000, "Hours": 3600}
OTHER = {  # kind of usage → what is counted, kind of charge
    "embeddings": ("input_tokens", "input"),
    "moderations": ("input_tokens", "input"),
    "images": ("images", "image"),
    "audio_speeches": ("characters", "character"),
    "audio_transcriptions": ("seconds", "second"),
    "vector_stores": ("usage_bytes", "vector_store_byte"),
    "code_interpreter_sessions": ("num_sessions", "code_interpreter_session"),
    "file_search_calls": ("num_requests", "file_search"),
    "web_search_calls": ("num_requests", "web_search"),
}


def total_cost(first: date, last: date) -> Decimal:
    """Return the cost of all usage that has a price, in USD, from `first` to `last`."""
    with PRICES.open(encoding="utf-8", newline="") as file:
        prices = list(csv.DictReader(file))
    total = Decimal(0)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        for kind in KINDS:
            for who, sums in _groups(kind, day).items():
                mean = sums["input_tokens"] / Decimal(sums["num_model_requests"] or 1)
                for charge, quantity in _charges(kind, sums):
                    price = _price(prices, who["model"], charge, _processing(who), day, mean)
                    if price is not None and quantity:
                        cost = EXACT.multiply(EXACT.divide(Decimal(quantity), Decimal(price[1])), price[0])
                        total = EXACT.add(total, cost.quantize(Decimal("1e-18"), context=EXACT))
    return total


def billed(first: date, last: date) -> Decimal:
    """Return the whole bill of the sandbox, in USD, from `first` to `last`."""
    start = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    end = start + ((last - first).days + 1) * 86_400
    return sum((charge.amount for charge in bill.charges(start, end)), Decimal(0))


class Who(dict[str, Any]):
    """What usage is grouped by; hashable."""

    def __hash__(self) -> int:  # type: ignore[override]  # a key that never changes
        return hash(tuple(sorted((name, str(value)) for name, value in self.items())))


def _groups(kind: str, day: date) -> Mapping[Who, dict[str, int]]:
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    groups: dict[Who, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    names = (*KINDS[kind].group_by, "model")
    for row in traffic.rows(kind, start, start + 86_400):
        sums = groups[Who({name: row.get(name) for name in names})]
        for metric in KINDS[kind].metrics:
            sums[metric] += int(row[metric] or 0)
    return groups


def _charges(kind: str, sums: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    if kind != "completions":
        metric, charge = OTHER[kind]
        yield charge, sums[metric]
        return
    yield "input", sums["input_uncached_tokens"]
    yield "cached_input", sums["input_cached_tokens"]
    yield "cache_write", sums["input_cache_write_tokens"]
    yield "output", sums["output_tokens"]


def _processing(who: Who) -> str:
    tier = who.get("service_tier") or "default"
    return "batch" if who.get("batch") else "standard" if tier == "default" else str(tier)


def _price(
    prices: list[dict[str, str]], model: str | None, charge: str, processing: str, day: date, mean: Decimal
) -> tuple[Decimal, int] | None:
    listed = "*" if model is None else _listed(prices, model)
    tokens = charge in {"input", "cached_input", "cache_write", "output"}
    how = processing if tokens else "standard"
    fitting = [
        row
        for row in prices
        if (row["model"], row["kind"], row["processing"]) == (listed, charge, how)
        and (row["effective_from"] or "0") <= day.isoformat() < (row["effective_to"] or "9")
        and (row["above_input_tokens"] == "0" or mean > int(row["above_input_tokens"]))
    ]
    if not fitting:
        return None
    best = max(fitting, key=lambda row: int(row["above_input_tokens"]))
    return Decimal(best["price"]), UNITS[best["unit"]]


def _listed(prices: list[dict[str, str]], model: str) -> str | None:
    """The listed name: by its own name, else by a pattern, the longest one first."""
    patterns = {(pattern, row["model"]) for row in prices for pattern in row["model_match"].split()}
    exact = {name for pattern, name in patterns if pattern == model}
    if exact:
        return exact.pop()
    fitting = [(len(pattern), name) for pattern, name in patterns if _fits(pattern, model)]
    return max(fitting)[1] if fitting else None


def _fits(pattern: str, model: str) -> bool:
    if pattern.startswith("~"):
        return re.search(pattern[1:], model) is not None
    return "*" in pattern and re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), model) is not None
