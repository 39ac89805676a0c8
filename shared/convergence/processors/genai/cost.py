"""Usage × dated price list → cost by day and kind of charge, an estimate at list prices.

Usage without a price keeps its quantity and a NULL cost, and its rows are set aside; `on_unknown_model` decides whether
that stops the step or is a warning on the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

from convergence.domain.money import EXACT, exact_text
from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import days
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.seeded import seeded_prices
from convergence.processors.genai.unpriced import Unpriced
from convergence.processors.quarantine import TABLE as QUARANTINE
from convergence.processors.settings import Destination, Settings, settings, table_of

ROWS_PER_DAY_MAX: Final = 1_000_000
SHOWN_MAX: Final = 50
PLACELESS: Final = (None, "global", "not_available")  # places that are not a region


class CostSettings(Settings):
    """`usage_pipeline_id`: the pipeline whose usage is priced; by default this one.

    `source_table` and `pricing_table` are tables with the same columns to use instead of the provider's own.
    `pricing_source` of older files has no effect: prices are read from the table.
    """

    on_unknown_model: Literal["fail", "warn"] = "fail"
    usage_pipeline_id: str = ""
    source_table: str = ""
    pricing_table: str = ""
    pricing_source: Literal["", "table", "bigquery", "seed"] = ""

    def uses_tables(self) -> Sequence[str]:
        """Return the tables that the file names."""
        return tuple(filter(None, (self.source_table, self.pricing_table)))


class CostProcessor(ABC):
    """Prices the usage of all dates of the run, one day at a time: memory is bounded by the largest day.

    A provider names its tables and defines what a row of its usage is charged for.
    """

    config_model = CostSettings
    destination_model = Destination
    fixed_table: str  # of the charges
    prices_table: str
    usage_table: str
    seeded_by: str  # the pipeline that loads the price list

    def charges(self, usage: Row, book: PriceBook) -> Iterable[dict[str, Any]]:
        """Return the charges of one row of usage, each with the account and the raw row that it comes from."""
        place = usage.get("inference_geo")
        source = {
            "account_id": usage.get("account_id"),
            "region": None if place in PLACELESS else place,
            "source_pipeline_id": usage.get("x_pipeline_id"),
            "source_row_id": usage.get("row_id"),
        }
        return [{**row, **source} for row in self.cost_rows(usage, book)]

    @abstractmethod
    def cost_rows(self, usage: Row, book: PriceBook) -> Iterable[dict[str, Any]]:
        """Return the charges of one row of usage."""

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Price and load the rows, and report what has no price."""
        options = settings(CostSettings, step_config)
        stage = context.warehouse.stage(table_of(step_config, self.fixed_table))
        prices_table = options.pricing_table or self.prices_table
        for table in (prices_table, self._source(options)):
            await context.warehouse.ensure_table(table)  # a missing table counts as empty, which has its own message
        book = PriceBook(await seeded_prices(context, prices_table), seeded_by=self.seeded_by)
        dates = days(context.start_date, context.end_date)
        read, totals, unpriced = 0, defaultdict[str, Decimal](Decimal), Unpriced()
        by_mean: set[str] = set()
        for part, day in enumerate(dates):
            usage = await self._usage(context, options, day)
            rows = [row for used in usage for row in self.charges(used, book)]
            await stage.write(part, rows)
            read += len(usage)
            for row in rows:
                if "cost" in row:
                    totals[row["currency"]] = EXACT.add(totals[row["currency"]], row["cost"])
                    by_mean |= {row["listed_model"]} if row["price_basis"] == "mean_context" else set()
                else:
                    unpriced.add(row)
            context.progress(rows=read, note=day.isoformat())
        missing = unpriced.kinds
        message = f"{len(missing)} kinds of usage have no price: {'; '.join(missing[:SHOWN_MAX])}"
        await unpriced.set_aside(context, stage.table)
        if missing and options.on_unknown_model == "fail":
            raise StepFailed(f"{message}. Add them to model_pricing.csv, or set config.on_unknown_model: warn.")
        loaded = await context.warehouse.load(stage, dates=dates, date_field="usage_date")
        return {
            "status": SUCCESS,
            "rows_processed": read,
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            **_sums(totals),
            "unpriced": missing[:SHOWN_MAX],
            "priced_by_mean_length": sorted(by_mean)[:SHOWN_MAX],
            "warnings": [f"{message}; their rows are in {QUARANTINE}"] if missing else [],
        }

    def _source(self, options: CostSettings) -> str:
        return options.source_table or self.usage_table

    async def has_usage(self, step_config: Mapping[str, Any], context: Context) -> bool:
        """True when the pipeline whose usage is priced has brought usage of this provider on any day."""
        options = settings(CostSettings, step_config)
        await context.warehouse.ensure_table(self._source(options))
        sql = (
            f"SELECT 1 AS found FROM {bigquery_name(self._source(options))} WHERE x_pipeline_id = @pipeline_id LIMIT 1"  # noqa: S608 - our own name
        )
        parameters = {"pipeline_id": Parameter("STRING", options.usage_pipeline_id or context.pipeline_id)}
        return bool((await context.warehouse.query(sql, parameters)).rows)

    async def _usage(self, context: Context, options: CostSettings, day: date) -> list[Row]:
        parameters = {
            "day": Parameter("DATE", day),
            "pipeline_id": Parameter("STRING", options.usage_pipeline_id or context.pipeline_id),
            "credential_id": Parameter("STRING", context.credential_id),
        }
        sql = (
            f"SELECT * FROM {bigquery_name(self._source(options))} WHERE usage_date = @day"  # noqa: S608 - our own name
            " AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id"
        )
        rows = (await context.warehouse.query(sql, parameters, rows_max=ROWS_PER_DAY_MAX)).rows
        if not rows and options.usage_pipeline_id:
            await self._refuse_usage_of_others(context, options, day)
        if len(rows) == ROWS_PER_DAY_MAX:
            raise StepFailed(f"{day} has {ROWS_PER_DAY_MAX} rows of usage or more: more than one day's pricing holds")
        return list(rows)

    async def _refuse_usage_of_others(self, context: Context, options: CostSettings, day: date) -> None:
        """Stop before a day that was never extracted replaces charges of usage that another pipeline has brought."""
        parameters = {"day": Parameter("DATE", day), "credential_id": Parameter("STRING", context.credential_id)}
        sql = (
            f"SELECT DISTINCT x_pipeline_id FROM {bigquery_name(self._source(options))}"  # noqa: S608 - our own name
            " WHERE usage_date = @day AND x_credential_id = @credential_id ORDER BY x_pipeline_id LIMIT 1"
        )
        for other in (await context.warehouse.query(sql, parameters)).rows:
            raise StepFailed(
                f"{self._source(options)} has usage of {day} from {other['x_pipeline_id']}, none from"
                f" {options.usage_pipeline_id}: run that one for this day first, or its charges would be lost"
            )


def _sums(totals: Mapping[str, Decimal]) -> dict[str, Any]:
    """Sums of different currencies are never added: then `total_cost` is None, and each is reported by itself."""
    texts = {currency: exact_text(total) for currency, total in sorted(totals.items())} or {"USD": "0"}
    if len(texts) > 1:
        return {"total_cost": None, "currency": None, "total_cost_by_currency": texts}
    ((currency, total),) = texts.items()
    return {"total_cost": total, "currency": currency}
