"""Computed cost against the provider's bill.

One row per day, model and kind of charge, with the difference (provider minus computed) and its reason; and one per
day and model in `org_cost_tracking`, with what is over the threshold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import Field

from convergence.domain.money import EXACT, exact_sum, exact_text
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import days
from convergence.processors.genai import tracking
from convergence.processors.genai.charge import CONSUMED_UNITS, DIGITS
from convergence.processors.genai.differences import Pair, classify
from convergence.processors.genai.pairs import Key, Line, pairs, spread
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.seeded import seeded_prices
from convergence.processors.settings import Destination, Settings, settings, table_of

ROWS_MAX: Final = 1_000_000

COMPUTED_SQL: Final = """
SELECT usage_date, model, listed_model, charge_kind, processing, currency, SUM(cost) AS cost,
  SUM(consumed_quantity) AS quantity,
  STRING_AGG(DISTINCT price_basis, ' ' ORDER BY price_basis) AS basis,
  STRING_AGG(DISTINCT source_row_id, ' ') AS row_ids, MAX(source_pipeline_id) AS pipeline_id
FROM {table}
WHERE usage_date BETWEEN @first AND @last AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id
GROUP BY usage_date, model, listed_model, charge_kind, processing, currency
"""
# The bill that was read last, by any pipeline.
BILLED_SQL: Final = """
SELECT usage_date, line_item, quantity_unit, currency, SUM(amount) AS amount, SUM(quantity) AS quantity,
  STRING_AGG(DISTINCT row_id, ' ') AS row_ids, MAX(x_pipeline_id) AS pipeline_id, MAX(account_id) AS account_id
FROM {table}_current
WHERE usage_date BETWEEN @first AND @last AND x_credential_id = @credential_id
GROUP BY usage_date, line_item, quantity_unit, currency
"""


class ReconciliationSettings(Settings):
    """Bounds up to which a difference is accepted. Amounts are in the currency of the bill.

    `rounding`: a difference up to this much per row is called rounding. A day and model whose difference exceeds both
    `threshold_amount` and `threshold_ratio` (of the bill) is a warning on the run, or with `on_over_threshold: fail`
    fails the step. `late_days`: for so many days back, data that one side lacks is late, not missing.
    """

    rounding: Decimal = Field(default=Decimal("0.000001"), ge=0)
    threshold_amount: Decimal = Field(default=Decimal("0.01"), ge=0)
    threshold_ratio: Decimal = Field(default=Decimal("0.01"), ge=0)
    on_over_threshold: Literal["warn", "fail"] = "warn"
    late_days: int = Field(default=3, ge=0)


@dataclass(frozen=True, slots=True)
class Compared:
    """Both sides, and their pairs by day, model ("" without one) and kind of charge."""

    computed: Sequence[Row]
    billed: Sequence[Row]
    pairs: Mapping[Key, Pair]


class ReconciliationProcessor(ABC):
    """Compares all dates of the run. A provider names its tables, and reads the lines of its bill."""

    config_model = ReconciliationSettings
    destination_model = Destination
    fixed_table: str  # of what was compared
    usage_table: str
    computed_table: str
    billed_table: str
    prices_table: str

    @abstractmethod
    def line(self, item: str | None, unit: str | None) -> Line:
        """Return the model and kind of charge of a line of the bill."""

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Compare and load; the result has the sums by reason.

        Raises `StepFailed` over the threshold if the file sets `fail`; the rows are still written.
        """
        options = settings(ReconciliationSettings, step_config)
        stage = context.warehouse.stage(table_of(step_config, self.fixed_table))
        compared = await self.compared(context)
        today = context.now().date()
        rows = [
            _row(key, pair, options.rounding, young=(today - key[0]).days <= options.late_days)
            for key, pair in sorted(compared.pairs.items())
        ]
        await stage.write(0, rows)
        dates = days(context.start_date, context.end_date)
        loaded = await context.warehouse.load(stage, dates=dates, date_field="usage_date")
        threshold = tracking.Threshold(options.threshold_amount, options.threshold_ratio)
        tracked = tracking.tracked(rows, context.provider, threshold, context.now())
        stage_tracked = context.warehouse.stage(tracking.TRACKING)
        await stage_tracked.write(0, tracked)
        await context.warehouse.load(stage_tracked, dates=dates, date_field="usage_date")
        warnings = tracking.warnings(tracked, threshold)
        if warnings and options.on_over_threshold == "fail":
            raise StepFailed("; ".join(warnings))
        return {
            "status": SUCCESS,
            "rows_processed": len(compared.computed) + len(compared.billed),
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            **_summary(rows),
            "states": _counts(tracked),
            "warnings": warnings,
        }

    async def compared(self, context: Context) -> Compared:
        """Read the pipeline's computed cost and the latest bill of the days of the run."""
        for table in (self.computed_table, self.billed_table, self.prices_table):
            await context.warehouse.ensure_table(table)
        computed = await self._rows(context, COMPUTED_SQL.format(table=self.computed_table))
        billed = await self._rows(context, BILLED_SQL.format(table=self.billed_table))
        found = pairs(computed, billed, self.line)
        if computed:  # without usage there was no need for a price list yet
            spread(found, computed, PriceBook(await seeded_prices(context, self.prices_table)))
        return Compared(computed, billed, found)

    async def _rows(self, context: Context, sql: str) -> Sequence[Row]:
        parameters = {
            "first": Parameter("DATE", context.start_date),
            "last": Parameter("DATE", context.end_date),
            "pipeline_id": Parameter("STRING", context.pipeline_id),
            "credential_id": Parameter("STRING", context.credential_id),
        }
        used = {name: value for name, value in parameters.items() if f"@{name}" in sql}
        return (await context.warehouse.query(sql, used, rows_max=ROWS_MAX)).rows


def _row(key: Key, pair: Pair, rounding: Decimal, *, young: bool) -> dict[str, Any]:
    day, model, charge = key
    reason, explanation = classify(pair, rounding, young=young and charge != "unknown")
    return {
        "usage_date": day,
        "model": model or None,
        "charge_kind": charge,
        "computed_cost": pair.computed,
        "provider_cost": pair.billed,
        "difference": pair.difference.quantize(DIGITS),
        "currency": pair.currency,
        "computed_quantity": pair.computed_quantity,
        "provider_quantity": pair.billed_quantity,
        "consumed_unit": CONSUMED_UNITS.get(charge, "Tokens"),
        "reason": reason,
        "explanation": explanation or None,
    }


def _counts(tracked: Sequence[Row]) -> dict[str, int]:
    states = [row["state"] for row in tracked]
    return {state: states.count(state) for state in sorted(set(states))}


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    reasons: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        reasons[row["reason"]] = EXACT.add(reasons[row["reason"]], row["difference"])
    totals = {
        name: exact_sum(row[name] for row in rows if row[name] is not None)
        for name in ("computed_cost", "provider_cost")
    }
    return {
        **{name: exact_text(value) for name, value in totals.items()},
        "difference_by_reason": {reason: exact_text(value) for reason, value in sorted(reasons.items())},
    }
