"""Computed cost against the provider's bill.

One row per day, model and kind of charge, with the difference (provider minus computed) and its reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import days
from convergence.processors.genai.charge import CONSUMED_UNITS, DIGITS
from convergence.processors.settings import Destination, Settings, settings

ROWS_MAX: Final = 1_000_000

COMPUTED_SQL: Final = """
SELECT usage_date, model, charge_kind, SUM(cost) AS cost, SUM(consumed_quantity) AS quantity,
  STRING_AGG(DISTINCT price_basis, ' ' ORDER BY price_basis) AS basis
FROM {table}
WHERE usage_date BETWEEN @first AND @last AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id
GROUP BY usage_date, model, charge_kind
"""
BILLED_SQL: Final = """
SELECT usage_date, line_item, quantity_unit, currency, SUM(amount) AS amount, SUM(quantity) AS quantity
FROM {table}
WHERE usage_date BETWEEN @first AND @last AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id
GROUP BY usage_date, line_item, quantity_unit, currency
"""

# What to add when our price is not the list's own.
BASES: Final = {
    "parent_kind": ", which is the price of a wider kind: the list has none of its own",
    "standard_processing": ", which is the standard one: the list has none for this processing",
}

Key = tuple[date, str, str]
Line = tuple[str, str, Decimal]  # model ("" without one), kind of charge, factor from the bill's unit to ours


class ReconciliationSettings(Settings):
    """`rounding`: a difference up to this many USD per row is called rounding."""

    rounding: Decimal = Decimal("0.000001")


@dataclass(slots=True)
class Pair:
    """Both sides of one day, model and kind of charge; None where a side says nothing."""

    computed: Decimal | None = None
    computed_quantity: Decimal | None = None
    basis: str = ""
    billed: Decimal | None = None
    billed_quantity: Decimal | None = None


def classify(pair: Pair, rounding: Decimal) -> tuple[str, str]:
    """Return (reason, explanation)."""
    if pair.computed is None:
        if pair.computed_quantity is None:
            return "missing_usage", "billed, but the usage API shows nothing of it: late data or an unknown line item"
        if pair.billed is None:
            return "missing_price", "used, but neither our price list nor the bill says what it costs"
        return (
            "missing_price",
            "our price list has no price for it" if pair.basis == "no_price" else "our price list does not know it",
        )
    if pair.billed is None:
        return ("match", "free") if pair.computed == 0 else ("not_billed", "computed, but not on the bill (yet)")
    difference = abs(pair.billed - pair.computed)
    if difference == 0:
        return "match", ""
    if difference <= rounding:
        return "rounding", f"within {rounding:f}"
    if pair.billed_quantity is not None and pair.billed_quantity != pair.computed_quantity:
        return "quantity", f"billed for {pair.billed_quantity:f}, used {pair.computed_quantity or 0:f}"
    if not pair.computed:
        return "price", "billed, but free on our price list"
    ratio = (pair.billed / pair.computed).quantize(Decimal("0.0001")).normalize()
    return "price", f"billed at {ratio:f} times our price{BASES.get(pair.basis, '')}"


class ReconciliationProcessor(ABC):
    """Compares all dates of the run. A provider names its tables, and reads the lines of its bill."""

    config_model = ReconciliationSettings
    computed_table: str
    billed_table: str

    @abstractmethod
    def line(self, item: str | None, unit: str | None) -> Line:
        """Return what a line of the bill is about."""

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Compare and load; the result sums up by reason."""
        wanted = settings(ReconciliationSettings, step_config)
        stage = context.warehouse.stage(settings(Destination, step_config, "destination").table)
        for table in (self.computed_table, self.billed_table):
            await context.warehouse.ensure_table(table)
        computed = await self._rows(context, COMPUTED_SQL.format(table=self.computed_table))
        billed = await self._rows(context, BILLED_SQL.format(table=self.billed_table))
        rows = [_row(key, pair, wanted.rounding) for key, pair in sorted(pairs(computed, billed, self.line).items())]
        await stage.write(0, rows)
        dates = days(context.start_date, context.end_date)
        loaded = await context.warehouse.load(stage, dates=dates, date_field="usage_date")
        return {
            "status": SUCCESS,
            "rows_processed": len(computed) + len(billed),
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            **_summary(rows),
        }

    async def _rows(self, context: Context, sql: str) -> Sequence[Row]:
        parameters = {
            "first": Parameter("DATE", context.start_date),
            "last": Parameter("DATE", context.end_date),
            "pipeline_id": Parameter("STRING", context.pipeline_id),
            "credential_id": Parameter("STRING", context.credential_id),
        }
        return (await context.warehouse.query(sql, parameters, rows_max=ROWS_MAX)).rows


def pairs(
    computed: Iterable[Row], billed: Iterable[Row], line: Callable[[str | None, str | None], Line]
) -> dict[Key, Pair]:
    """Join both sides by day, model ("" without one) and kind of charge; billed quantities come in our units."""
    found: dict[Key, Pair] = defaultdict(Pair)
    for row in computed:
        pair = found[row["usage_date"], row["model"] or "", row["charge_kind"]]
        pair.computed, pair.computed_quantity, pair.basis = row["cost"], Decimal(row["quantity"]), row["basis"]
    for row in billed:
        if row["currency"] != "USD":
            raise StepFailed(f"the bill of {row['usage_date']} is in {row['currency']}; the price list is in USD")
        model, charge, factor = line(row["line_item"], row["quantity_unit"])
        pair = found[row["usage_date"], model, charge]
        pair.billed = (pair.billed or Decimal(0)) + row["amount"]
        if row["quantity"] is not None:
            pair.billed_quantity = (pair.billed_quantity or Decimal(0)) + row["quantity"] * factor
    return found


def _row(key: Key, pair: Pair, rounding: Decimal) -> dict[str, Any]:
    day, model, charge = key
    reason, explanation = classify(pair, rounding)
    return {
        "usage_date": day,
        "model": model or None,
        "charge_kind": charge,
        "computed_cost": pair.computed,
        "provider_cost": pair.billed,
        "difference": ((pair.billed or Decimal(0)) - (pair.computed or Decimal(0))).quantize(DIGITS),
        "currency": "USD",
        "computed_quantity": pair.computed_quantity,
        "provider_quantity": pair.billed_quantity,
        "consumed_unit": CONSUMED_UNITS.get(charge, "Tokens"),
        "reason": reason,
        "explanation": explanation or None,
    }


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    reasons: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        reasons[row["reason"]] += row["difference"]
    totals = {
        name: sum((row[column] for row in rows if row[column] is not None), Decimal(0))
        for name, column in (("computed_cost", "computed_cost"), ("provider_cost", "provider_cost"))
    }
    return {
        **{name: f"{value.normalize():f}" for name, value in totals.items()},
        "difference_by_reason": {reason: f"{value.normalize():f}" for reason, value in sorted(reasons.items())},
    }
