"""`openai.cost`: usage × dated price list → `openai_cost_daily`, an estimate at list prices.

What has no price keeps its quantity and a NULL cost; `on_unknown_model` decides whether that stops the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import days
from convergence.processors.openai.charges import cost_rows
from convergence.processors.openai.pricing import PriceBook
from convergence.processors.settings import Destination, Settings, settings

ROWS_PER_DAY_MAX: Final = 1_000_000
SHOWN_MAX: Final = 50

# The list that was seeded last, whichever pipeline did it.
PRICES_SQL: Final = """
SELECT * FROM openai_model_pricing
WHERE x_run_id = (SELECT x_run_id FROM openai_model_pricing ORDER BY x_ingested_at DESC, x_run_id LIMIT 1)
"""
USAGE_SQL: Final = """
SELECT * FROM openai_usage_daily_raw
WHERE usage_date = @day AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id
"""


class CostSettings(Settings):
    """`usage_pipeline_id`: whose usage is priced; by default that of this pipeline."""

    on_unknown_model: Literal["fail", "warn"] = "fail"
    usage_pipeline_id: str = ""


class CostProcessor:
    """Prices the usage of all dates of the run, one day at a time: memory is bounded by the largest day."""

    config_model = CostSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Price, load, and say what has no price."""
        wanted = settings(CostSettings, step_config)
        stage = context.warehouse.stage(settings(Destination, step_config, "destination").table)
        for table in ("openai_model_pricing", "openai_usage_daily_raw"):
            await context.warehouse.ensure_table(table)  # not there yet means empty, which has its own message
        book = PriceBook((await context.warehouse.query(PRICES_SQL, rows_max=ROWS_PER_DAY_MAX)).rows)
        dates = days(context.start_date, context.end_date)
        read, total, unpriced = 0, Decimal(0), dict[tuple[str, str, str], int]()
        for part, day in enumerate(dates):
            usage = await _usage(context, wanted, day)
            rows = [row for used in usage for row in cost_rows(used, book)]
            await stage.write(part, rows)
            read += len(usage)
            for row in rows:
                if "cost" in row:
                    total += row["cost"]
                else:
                    key = (row["price_basis"], row["model"] or "-", row["charge_kind"])
                    unpriced[key] = unpriced.get(key, 0) + row["consumed_quantity"]
            context.progress(rows=read, note=day.isoformat())
        missing = [f"{model}: {charge} ({why})" for why, model, charge in sorted(unpriced)]
        if missing:
            said = f"{len(missing)} kinds of usage have no price: {'; '.join(missing[:SHOWN_MAX])}"
            if wanted.on_unknown_model == "fail":
                raise StepFailed(f"{said}. Add them to model_pricing.csv, or set config.on_unknown_model: warn.")
            context.logger.warning(said)
        loaded = await context.warehouse.load(stage, dates=dates, date_field="usage_date")
        return {
            "status": SUCCESS,
            "rows_processed": read,
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            "total_cost": f"{total.normalize():f}",
            "currency": "USD",
            "unpriced": missing[:SHOWN_MAX],
        }


async def _usage(context: Context, wanted: CostSettings, day: date) -> list[Row]:
    parameters = {
        "day": Parameter("DATE", day),
        "pipeline_id": Parameter("STRING", wanted.usage_pipeline_id or context.pipeline_id),
        "credential_id": Parameter("STRING", context.credential_id),
    }
    rows = (await context.warehouse.query(USAGE_SQL, parameters, rows_max=ROWS_PER_DAY_MAX)).rows
    if len(rows) == ROWS_PER_DAY_MAX:
        raise StepFailed(f"{day} has {ROWS_PER_DAY_MAX} rows of usage or more: more than one day's pricing can hold")
    return list(rows)


def get_engine() -> CostProcessor:
    """Return the processor."""
    return CostProcessor()
