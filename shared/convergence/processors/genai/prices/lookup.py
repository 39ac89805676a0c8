"""The dated price list: which price holds for a model, a kind of charge, a processing and a day.

Rows are those of `{provider}_model_pricing` (made by `make_list.py`):

- `model_match`: a pattern for reported model names: `name`, `prefix*`, `*part*`, `~pattern` (`model_match.py`).
  The most exact one wins: name, then pattern, then the longest prefix, then the longest part. Case does not matter.
- `effective_from` (inclusive) and `effective_to` (exclusive) are days in UTC; empty means open.
- `above_input_tokens`: the price holds for requests with more input tokens than that; the highest such step wins.
  Where a row of usage adds up requests of several lengths, their mean decides, and `Found.basis` records that.
- `region`: the price holds for usage that the provider reports for this place only, and precedes one for any place.
- Model, kind, processing and day have a row of the list, or there is no price and the usage is reported. No other kind
  or processing is used instead. Calls, seconds and characters cost the same in any processing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from convergence.errors import StepFailed
from convergence.processors.genai.model_match import fits, is_pattern, rank, unreadable
from convergence.processors.genai.prices.checks import SHOWN_MAX, mistakes
from convergence.processors.genai.prices.price import ANY_MODEL, UNIT_SIZES, Price, list_processing


@dataclass(frozen=True, slots=True)
class Found:
    """A price and how it was found: `list`, or `mean_context` where the length of requests is known as a mean only and
    the price depends on it."""

    price: Price
    basis: str


class PriceBook:
    """The list, indexed. Lookups are pure; a model name is matched once."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], *, seeded_by: str = "openai/auth/setup") -> None:
        self._prices: dict[tuple[str, str, str], list[Price]] = defaultdict(list)
        self._exact: dict[str, str] = {}
        self._patterns: dict[str, str] = {}  # pattern → model
        for row in rows:
            model = row["model"]
            price = Price(**{name: row[name] for name in Price.__slots__ if name in row})  # older lists have no region
            self._prices[model, price.kind, price.processing].append(price)
            for pattern in row["model_match"].split() if row["model_match"] else ():
                target = self._patterns if is_pattern(pattern) else self._exact
                target[pattern.lower() if pattern[0] != "~" else pattern] = model
        if not self._prices:
            raise StepFailed(f"the price list is empty; seed it with the pipeline {seeded_by}")
        wrong = mistakes(price for prices in self._prices.values() for price in prices)
        if wrong := wrong + unreadable(self._patterns):
            raise StepFailed(f"the price list contradicts itself: {'; '.join(wrong[:SHOWN_MAX])}")
        self._matched: dict[str, str | None] = {}

    def model(self, name: str | None) -> str | None:
        """Return the listed model that a reported name means; None when the list does not know it."""
        if name is None:
            return ANY_MODEL
        if name not in self._matched:
            self._matched[name] = self._match(name.lower())
        return self._matched[name]

    def find(
        self,
        model: str,
        kind: str,
        processing: str,
        day: date,
        input_tokens: Decimal,
        region: str | None = None,
        longest: Decimal | None = None,
    ) -> Found | None:
        """Return the price in force; None when there is none on that day.

        `input_tokens` are those of a request. If they are a mean, `longest` is the most that one of the requests can
        have.
        """
        here = self._in_force(model, kind, processing, day, region)
        depends = longest is not None and any(0 < price.above_input_tokens < longest for price in here)
        for price in here:
            if price.above_input_tokens == 0 or input_tokens > price.above_input_tokens:
                return Found(price, "mean_context" if depends else "list")
        return None

    def span(self, model: str, kind: str, processing: str, day: date) -> tuple[Decimal, Decimal] | None:
        """Return the lowest and the highest price of one token, call, … that any step has on that day; None without."""
        prices = [price.price / UNIT_SIZES[price.unit] for price in self._in_force(model, kind, processing, day)]
        return (min(prices), max(prices)) if prices else None

    def _in_force(self, model: str, kind: str, processing: str, day: date, region: str | None = None) -> list[Price]:
        """Return the prices of all steps, the place's own first, then the highest step first."""
        here = [
            price
            for price in self._prices.get((model, kind, list_processing(kind, processing)), ())
            if price.holds(day) and (not price.region or price.region == region)
        ]
        return sorted(here, key=lambda price: (bool(price.region), price.above_input_tokens), reverse=True)

    def _match(self, name: str) -> str | None:
        if name in self._exact:
            return self._exact[name]
        fitting = [(rank(pattern), model) for pattern, model in self._patterns.items() if fits(pattern, name)]
        return max(fitting)[1] if fitting else None
