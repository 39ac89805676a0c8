"""The cost of days with existing charges at another price list: per day and model, before and after. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.domain.money import EXACT, exact_sum, exact_text
from convergence.errors import StepFailed

SAME, PRICE, USAGE, PRICED, UNPRICED = "same", "price", "usage", "priced", "unpriced"
DIGITS: Final = Decimal(1).scaleb(-18)

Key = tuple[str, str]  # model ("" without one), currency


@dataclass(slots=True)
class Side:
    """One model's charges of one day: cost (None without), quantities by kind of charge, ids of the prices."""

    cost: Decimal | None = None
    quantities: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    prices: set[str] = field(default_factory=set)


def compare(day: date, before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the day's rows of `org_cost_repricing`, without provider, source and time.

    `before` and `after`: charges with model, charge_kind, consumed_quantity, cost, currency and price_id.

    Raises:
        StepFailed: a model's charges change their currency, so that there is no difference to report.
    """
    sides = [_sides(before), _sides(after)]
    models = sorted({model for side in sides for model, _ in side})
    rows = []
    for model in models:
        currencies = {currency for side in sides for of, currency in side if of == model and currency}
        if len(currencies) > 1:
            raise StepFailed(f"{day}, {model or '-'}: charges in {' and '.join(sorted(currencies))} cannot be compared")
        currency = next(iter(currencies), "USD")
        old, new = (_whole(side, model) for side in sides)
        rows.append(
            {
                "usage_date": day,
                "model": model or None,
                "cost_before": old.cost,
                "cost_after": new.cost,
                "difference": ((new.cost or Decimal(0)) - (old.cost or Decimal(0))).quantize(DIGITS),
                "currency": currency,
                "reason": _reason(old, new),
                "prices_before": " ".join(sorted(old.prices)) or None,
                "prices_after": " ".join(sorted(new.prices)) or None,
            }
        )
    return rows


def _sides(charges: Iterable[Mapping[str, Any]]) -> dict[Key, Side]:
    found: dict[Key, Side] = defaultdict(Side)
    for charge in charges:
        side = found[charge["model"] or "", charge.get("currency") or ""]
        if charge.get("cost") is not None:
            side.cost = EXACT.add(side.cost or Decimal(0), charge["cost"])
            side.quantities[charge["charge_kind"]] += Decimal(charge["consumed_quantity"])
        if charge.get("price_id"):
            side.prices.add(charge["price_id"])
    return found


def _whole(sides: Mapping[Key, Side], model: str) -> Side:
    """A model's priced part; what has no price has no currency either, and no cost."""
    priced = [side for (of, currency), side in sides.items() if of == model and currency]
    return priced[0] if priced else Side()


def _reason(old: Side, new: Side) -> str:
    if old.cost is None and new.cost is None:
        return SAME
    if old.cost is None:
        return PRICED
    if new.cost is None:
        return UNPRICED
    if old.cost == new.cost:
        return SAME
    if old.quantities.keys() != new.quantities.keys():
        return PRICED if new.quantities.keys() > old.quantities.keys() else UNPRICED
    return USAGE if old.quantities != new.quantities else PRICE


def one_currency(rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise `StepFailed` when rows of several currencies have a cost: their sum would be an amount of neither."""
    found = sorted({row["currency"] for row in rows if row["cost_before"] is not None or row["cost_after"] is not None})
    if len(found) > 1:
        raise StepFailed(
            f"these days have charges in {' and '.join(found)}, which cannot be added up: use a price list in one"
            " currency"
        )


def totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Sum before, after and difference, as text to the last digit."""
    columns = {"cost_before": "before", "cost_after": "after", "difference": "difference"}
    sums = {name: exact_sum(row[column] or Decimal(0) for row in rows) for column, name in columns.items()}
    return {name: exact_text(value) for name, value in sums.items()}
