"""Mistakes in a price list. A list that contradicts itself is not used: what is meant is unclear."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import Final

from convergence.processors.genai.prices.price import KINDS, UNIT_SIZES, Price

SHOWN_MAX: Final = 10


def mistakes(prices: Iterable[Price]) -> list[str]:
    """Return what is wrong: negative prices, unknown kinds and units, periods that end before they begin, two prices
    that hold on one day."""
    spans: dict[tuple[object, ...], list[tuple[date, date]]] = defaultdict(list)
    found = []
    for price in prices:
        first, end = price.effective_from or date.min, price.effective_to or date.max
        if price.price < 0:
            found.append(f"{price.price_id}: the price {price.price:f} is negative")
        if end <= first:
            found.append(f"{price.price_id}: ends on {end}, before it begins")
        if price.kind not in KINDS:
            found.append(f"{price.price_id}: the kind {price.kind!r} is not one of {', '.join(sorted(KINDS))}")
        if price.unit not in UNIT_SIZES:
            found.append(f"{price.price_id}: the unit {price.unit!r} is not one of {', '.join(map(repr, UNIT_SIZES))}")
        key = (price.model, price.kind, price.processing, price.above_input_tokens, price.region or "")
        spans[key].append((first, end))
    return found + [message for key, dates in spans.items() for message in _overlaps(key, sorted(dates))]


def _overlaps(key: tuple[object, ...], dates: list[tuple[date, date]]) -> Iterator[str]:
    for (_, end), (begin, _) in pairwise(dates):
        if begin < end:
            yield f"{'/'.join(str(part) for part in key if part != '')}: two prices apply on {begin}"
