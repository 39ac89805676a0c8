"""Usage × dated price list → cost by day and kind of charge, an estimate at list prices.

What has no price keeps its quantity and a NULL cost; `on_unknown_model` decides whether that stops the step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import days
from convergence.processors.genai.pricing import PriceBook
from convergence.processors.settings import Destination, Settings, settings

ROWS_PER_DAY_MAX: Final = 1_000_000
SHOWN_MAX: Final = 50


class CostSettings(Settings):
    """`usage_pipeline_id`: whose usage is priced; by default that of this pipeline."""

    on_unknown_model: Literal["fail", "warn"] = "fail"
    usage_pipeline_id: str = ""


class CostProcessor(ABC):
    """Prices the usage of all dates of the run, one day at a time: memory is bounded by the largest day.

    A provider names its tables and says what a row of its usage is charged for.
    """

    config_model = CostSettings
    prices_table: str
    usage_table: str
    seeded_by: str  # the pipeline that loads the price list

    @abstractmethod
    def cost_rows(self, usage: Row, book: PriceBook) -> Iterable[dict[str, Any]]:
        """Return the charges of one row of usage."""

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Price, load, and say what has no price."""
        wanted = settings(CostSettings, step_config)
        stage = context.warehouse.stage(settings(Destination, step_config, "destination").table)
        for table in (self.prices_table, self.usage_table):
            await context.warehouse.ensure_table(table)  # not there yet means empty, which has its own message
        book = PriceBook(await self._prices(context), seeded_by=self.seeded_by)
        dates = days(context.start_date, context.end_date)
        read, total, unpriced = 0, Decimal(0), dict[tuple[str, str, str], int]()
        for part, day in enumerate(dates):
            usage = await self._usage(context, wanted, day)
            rows = [row for used in usage for row in self.cost_rows(used, book)]
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

    async def _prices(self, context: Context) -> list[Row]:
        """The list that was seeded last, whichever pipeline did it."""
        table = self.prices_table
        latest = f"SELECT x_run_id FROM {table} ORDER BY x_ingested_at DESC, x_run_id LIMIT 1"  # noqa: S608 - our own name
        sql = f"SELECT * FROM {table} WHERE x_run_id = ({latest})"  # noqa: S608 - as above
        return list((await context.warehouse.query(sql, rows_max=ROWS_PER_DAY_MAX)).rows)

    async def _usage(self, context: Context, wanted: CostSettings, day: date) -> list[Row]:
        parameters = {
            "day": Parameter("DATE", day),
            "pipeline_id": Parameter("STRING", wanted.usage_pipeline_id or context.pipeline_id),
            "credential_id": Parameter("STRING", context.credential_id),
        }
        sql = (
            f"SELECT * FROM {self.usage_table} WHERE usage_date = @day"  # noqa: S608 - our own name
            " AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id"
        )
        rows = (await context.warehouse.query(sql, parameters, rows_max=ROWS_PER_DAY_MAX)).rows
        if len(rows) == ROWS_PER_DAY_MAX:
            raise StepFailed(f"{day} has {ROWS_PER_DAY_MAX} rows of usage or more: more than one day's pricing holds")
        return list(rows)
