"""Computed cost and bill side by side. Pure: rows of both in, one pair of figures for each day, model and kind out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from convergence.errors import StepFailed
from convergence.ports.warehouse import Row
from convergence.processors.genai.differences import Pair
from convergence.processors.genai.prices.lookup import PriceBook

Key = tuple[date, str, str]
Line = tuple[str, str, Decimal]  # model ("" without one), kind of charge, factor from the bill's unit to ours
Reader = Callable[[str | None, str | None], Line]


def pairs(computed: Iterable[Row], billed: Sequence[Row], line: Reader) -> dict[Key, Pair]:
    """Join both sides by day, model ("" without one) and kind of charge; billed quantities are in our units.

    Raises `StepFailed` where amounts of two currencies would be compared or added up.
    """
    found: dict[Key, Pair] = defaultdict(Pair)
    bills = {row["usage_date"]: row["currency"] for row in billed}
    for row in computed:
        pair = found[row["usage_date"], row["model"] or "", row["charge_kind"]]
        if row["cost"] is not None:
            expected = bills.get(row["usage_date"]) or pair.currency or row["currency"]
            if row["currency"] != expected:
                raise StepFailed(
                    f"{row['usage_date']}, {row['model'] or '-'}, {row['charge_kind']}: priced in {row['currency']},"
                    f" not in {expected} as the {'bill' if row['usage_date'] in bills else 'other charges'}: give"
                    " model_pricing.csv one currency, that of the bill"
                )
            pair.currency = expected
            pair.computed = (pair.computed or Decimal(0)) + row["cost"]
        pair.computed_quantity = (pair.computed_quantity or Decimal(0)) + Decimal(row["quantity"])
        pair.basis = " ".join(sorted({*pair.basis.split(), *row["basis"].split()}))
        pair.usage_rows.update((row.get("row_ids") or "").split())
        pair.usage_pipeline = row.get("pipeline_id")
    for row in billed:
        if row["currency"] != bills[row["usage_date"]]:
            raise StepFailed(
                f"the bill of {row['usage_date']} is in {row['currency']} and {bills[row['usage_date']]}, which cannot"
                " be added up"
            )
        model, charge, factor = line(row["line_item"], row["quantity_unit"])
        pair = found[row["usage_date"], model, charge]
        pair.currency = row["currency"]
        pair.billed = (pair.billed or Decimal(0)) + row["amount"]
        pair.bill_rows.update((row.get("row_ids") or "").split())
        pair.bill_pipeline = row.get("pipeline_id")
        if row["quantity"] is not None:
            pair.billed_quantity = (pair.billed_quantity or Decimal(0)) + row["quantity"] * factor
    for (day, _, _), pair in found.items():
        pair.currency = pair.currency or bills.get(day, "USD")  # used, but neither priced nor billed
    return found


def spread(found: Mapping[Key, Pair], computed: Iterable[Row], book: PriceBook) -> None:
    """Give each pair the cost of its quantity at the cheapest and the most expensive step of the list; a pair with a
    part that is not listed gets neither."""
    sums: dict[Key, tuple[Decimal, Decimal] | None] = {}
    for row in computed:
        key = (row["usage_date"], row["model"] or "", row["charge_kind"])
        listed = row["listed_model"]
        span = None if listed is None else book.span(listed, row["charge_kind"], row["processing"], row["usage_date"])
        before = sums.get(key, (Decimal(0), Decimal(0)))
        quantity = Decimal(row["quantity"])
        if span is None or before is None:
            sums[key] = None
        else:
            sums[key] = (before[0] + span[0] * quantity, before[1] + span[1] * quantity)
    for key, steps in sums.items():
        found[key].steps = steps
