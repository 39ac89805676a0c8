"""`deepseek.cost`: what was spent between two readings of the prepaid balance → `genai_billing_daily_raw`.

The provider has no history of usage or cost (api-docs.deepseek.com, Get User Balance). So the cost is the balance of
the last reading before the run's day, plus what was topped up since, less the balance that this run has read. It is
assigned to the run's day as a whole; granted balance that expires counts as spent. It cannot be split by model or key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from convergence.domain.money import exact_text
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import row_id
from convergence.processors.settings import Destination, Settings, settings, table_of

BALANCES: Final = "deepseek_balance_daily_raw"
PROVIDER: Final = "deepseek"
KEY: Final = ("usage_date", "provider", "currency")


class BalanceSettings(Settings):
    """`topped_up`: what was paid in since the previous reading, by currency. `billing_account_id`: the account that is
    billed; the API does not name it."""

    billing_account_id: str = ""
    topped_up: dict[str, Decimal] = Field(default_factory=dict)


class DeepSeekCostProcessor:
    """Compares the run's reading with the previous one; the first reading has nothing to be compared with."""

    config_model = BalanceSettings
    destination_model = Destination
    fixed_table = "genai_billing_daily_raw"

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return what was spent by currency.

        Raises `StepFailed` for a day whose balance was not read on that day, and for a balance that rose.
        """
        options = settings(BalanceSettings, step_config)
        stage = context.warehouse.stage(table_of(step_config, self.fixed_table))
        await context.warehouse.ensure_table(BALANCES)
        if context.start_date != context.end_date:
            raise StepFailed("DeepSeek reports the current balance only: run one day, today")
        now = await self._reading(context, "=")
        if not now:
            raise StepFailed(f"{BALANCES} has no reading of {context.end_date}: extract the balance first")
        for row in now:
            if row["x_ingested_at"].date() != context.end_date:
                raise StepFailed(
                    f"the balance for {context.end_date} was read on {row['read_at'].date()}: DeepSeek reports the"
                    " current balance only, so the cost of other days cannot be known. Run it with today's date."
                )
        before = {row["currency"]: row for row in await self._reading(context, "<")}
        found = [_spent(row, before.get(row["currency"]), options, context) for row in now]
        rows = [{**spent, "row_id": row_id(spent, KEY)} for spent in found if spent]
        await stage.write(0, rows)
        loaded = await context.warehouse.load(
            stage, dates=[context.end_date], date_field="usage_date", source={"provider": PROVIDER}
        )
        return {
            "status": SUCCESS,
            "rows_processed": len(now),
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            "cost": {row["currency"]: f"{row['cost']:f}" for row in rows},
            "warnings": cost_not_known(now, before),
            "since": min((row["x_ingested_at"].isoformat() for row in before.values()), default=None),
        }

    async def _reading(self, context: Context, comparison: str) -> list[Row]:
        """The last reading of each currency: of the run's day (`=`), or of any earlier one (`<`)."""
        sql = (
            f"SELECT * FROM {BALANCES}"  # noqa: S608 - names and comparisons of our own
            f" WHERE x_pipeline_run_date {comparison} @day AND x_pipeline_id = @pipeline_id"
            " AND x_credential_id = @credential_id"
            " QUALIFY ROW_NUMBER() OVER"
            " (PARTITION BY currency ORDER BY x_pipeline_run_date DESC, x_ingested_at DESC) = 1"
        )
        parameters = {
            "day": Parameter("DATE", context.end_date),
            "pipeline_id": Parameter("STRING", context.pipeline_id),
            "credential_id": Parameter("STRING", context.credential_id),
        }
        return list((await context.warehouse.query(sql, parameters)).rows)


def cost_not_known(now: Sequence[Row], before: Mapping[str, Row]) -> list[str]:
    """Warn about currencies whose cost is unknown: read for the first time, or no longer reported."""
    message = [
        f"the first reading of the balance in {row['currency']}: the cost is known from the next one on"
        for row in now
        if row["currency"] not in before
    ]
    reported = {row["currency"] for row in now}
    latest = max((row["x_pipeline_run_date"] for row in before.values()), default=None)
    return message + [
        f"DeepSeek no longer reports the balance in {currency}, {exact_text(row['total_balance'])} at the last"
        " reading: if it was spent, that cost is missing"
        for currency, row in before.items()
        if currency not in reported and row["total_balance"] > 0 and row["x_pipeline_run_date"] == latest
    ]


def _spent(now: Row, before: Row | None, options: BalanceSettings, context: Context) -> dict[str, Any] | None:
    if before is None:
        return None
    currency = now["currency"]
    cost = before["total_balance"] + options.topped_up.get(currency, Decimal(0)) - now["total_balance"]
    if cost < 0:
        raise StepFailed(
            f"the balance in {currency} rose by {exact_text(-cost)} since {before['x_ingested_at'].date()}: pass the"
            f" amount paid in as the parameter topped_up_{currency.lower()}"
        )
    return {
        "usage_date": context.end_date,
        "provider": PROVIDER,
        "account_id": options.billing_account_id or None,
        "service": "DeepSeek API",
        "sku": "Prepaid balance",
        "cost": cost,
        "currency": currency,
    }


def get_engine() -> DeepSeekCostProcessor:
    """Return the processor."""
    return DeepSeekCostProcessor()
