"""`openai.subscriptions`: seats that the org has bought, at dated prices → `subscriptions`.

OpenAI has no API for the seats of ChatGPT plans: the org records what it has bought, once and at every change, and the
published price list has the price of a seat. Earlier records are kept; without `seats` nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import LINEAGE_COLUMNS, Parameter, Row
from convergence.processors.base import row_id
from convergence.processors.settings import Destination, Settings, settings, table_of

PLANS: Final = "openai_subscription_plans"
KEY: Final = ("provider", "subscription_id", "seat_type", "starts_on")
ONE_DAY: Final = timedelta(days=1)


class SubscriptionSettings(Settings):
    """What was bought from `starts_on` to `ends_on` (both included; open without). An empty string counts as not given.

    `seats: 0` ends the subscription. `price_per_seat_month` is the org's own price; by default the list's. With its own
    price a contract may be paid by the year although the list has no such price; the list price is then the monthly
    one. `billing_account_id`: the organization at OpenAI.
    """

    subscription_id: str = "chatgpt"
    plan: str
    seat_type: str = "standard"
    billing_cycle: Literal["monthly", "annual"] = "monthly"
    seats: int | None = Field(default=None, ge=0)
    starts_on: date | None = None
    ends_on: date | None = None
    price_per_seat_month: Decimal | None = Field(default=None, ge=0)
    billing_account_id: str = ""

    @field_validator("seats", "starts_on", "ends_on", "price_per_seat_month", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return None if value == "" else value


@dataclass(frozen=True, slots=True)
class Span:
    """Days of one price; `last` None is open."""

    first: date
    last: date | None
    price: Decimal
    currency: str


class SubscriptionsProcessor:
    """Writes all contracts of the org with this provider anew: the stored ones and the one given by the run."""

    config_model = SubscriptionSettings
    destination_model = Destination
    fixed_table = "subscriptions"

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return how many contracts and seats there are.

        Raises `StepFailed` when nothing was ever bought, or a day of the contract has no price.
        """
        options = settings(SubscriptionSettings, step_config)
        stage = context.warehouse.stage(table_of(step_config, self.fixed_table))
        for table in (stage.table, PLANS):
            await context.warehouse.ensure_table(table)
        contracts: list[Row] = await self._kept(stage.table, context)
        if options.seats is not None:
            if options.starts_on is None:
                raise StepFailed("config.starts_on: set the first day the seats are paid for")
            bought = (
                [] if options.seats == 0 else await self._bought(options, options.starts_on, options.seats, context)
            )
            contracts = [*_until(contracts, options, options.starts_on), *bought]
        elif not contracts:
            raise StepFailed("no seats of OpenAI are known: run it once with plan, seats and starts_on")
        contracts = [{**row, "row_id": row_id(row, KEY)} for row in contracts]
        await stage.write(0, contracts)
        loaded = await context.warehouse.load(stage, dates=None)
        await self._forget_earlier(stage.table, context)
        open_seats = sum(row["seats"] for row in contracts if row["ends_on"] is None)
        return {
            "status": SUCCESS,
            "rows_processed": len(contracts),
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            "open_seats": open_seats,
            "warnings": _uncharged(options, context.start_date),
        }

    async def _kept(self, table: str, context: Context) -> list[Row]:
        """The contracts as the latest run left them: they belong to the org, whichever credential that run had."""
        ours = f"FROM {table} WHERE provider = 'openai' AND x_pipeline_id = @pipeline_id"
        latest = f"SELECT x_run_id {ours} ORDER BY x_ingested_at DESC, x_run_id LIMIT 1"
        sql = f"SELECT * {ours} AND x_run_id = ({latest})"
        rows = (await context.warehouse.query(sql, {"pipeline_id": Parameter("STRING", context.pipeline_id)})).rows
        return [{name: row[name] for name in row if name not in LINEAGE_COLUMNS} for row in rows]

    async def _forget_earlier(self, table: str, context: Context) -> None:
        """A load replaces the rows of its own credential; those of another one would be paid a second time."""
        texts = {"pipeline_id": context.pipeline_id, "run_id": context.run_id}
        sql = f"DELETE FROM {table} WHERE provider = 'openai' AND x_pipeline_id = @pipeline_id AND x_run_id <> @run_id"  # noqa: S608 - our own name
        parameters = {name: Parameter("STRING", text) for name, text in texts.items()}
        await context.warehouse.query(sql, parameters, write=True, repeatable=True)

    async def _bought(
        self, options: SubscriptionSettings, starts_on: date, seats: int, context: Context
    ) -> list[dict[str, Any]]:
        if options.ends_on is not None and options.ends_on < starts_on:
            raise StepFailed(f"config.ends_on: {options.ends_on} is before config.starts_on, {starts_on}")
        latest = f"SELECT x_run_id FROM {PLANS} ORDER BY x_ingested_at DESC, x_run_id LIMIT 1"  # noqa: S608 - our own name
        sql = f"SELECT * FROM {PLANS} WHERE x_run_id = ({latest})"  # noqa: S608 - as above
        plans = (await context.warehouse.query(sql)).rows
        return [
            {
                "subscription_id": options.subscription_id,
                "provider": "openai",
                "plan": options.plan,
                "seat_type": options.seat_type,
                "seats": seats,
                "billing_cycle": options.billing_cycle,
                "price_per_seat_month": span.price
                if options.price_per_seat_month is None
                else options.price_per_seat_month,
                "list_price_per_seat_month": span.price,
                "billing_account_id": options.billing_account_id or None,
                "currency": span.currency,
                "starts_on": span.first,
                "ends_on": span.last,
            }
            for span in spans(plans, options, starts_on, seats)
        ]


def _uncharged(options: SubscriptionSettings, first: date) -> list[str]:
    """Warn about days that a change affects but the run does not charge."""
    if options.seats is None or options.starts_on is None or options.starts_on >= first:
        return []
    last = (first if options.ends_on is None else min(first, options.ends_on + ONE_DAY)) - ONE_DAY
    return [f"days before {first} stay as they are: run start_date={options.starts_on} and end_date={last} too"]


def _until(rows: Iterable[Row], options: SubscriptionSettings, change: date) -> list[Row]:
    """Contracts as they are up to the day before `change`; those of other seats as they are."""
    kept: list[Row] = []
    for row in rows:
        if (row["subscription_id"], row["seat_type"]) != (options.subscription_id, options.seat_type):
            kept.append(row)
        elif row["starts_on"] < change:
            ends_on = row["ends_on"]
            kept.append({**row, "ends_on": change - ONE_DAY if ends_on is None or ends_on >= change else ends_on})
    return kept


def spans(plans: Sequence[Row], options: SubscriptionSettings, starts_on: date, seats: int) -> list[Span]:
    """Return the contract cut at the days on which the published price changes.

    Raises `StepFailed` for a plan that the list does not have, too few seats, or days without a price.
    """
    fitting = [
        row
        for row in plans
        if (row["plan"], row["seat_type"], row["billing_cycle"])
        == (options.plan, options.seat_type, options.billing_cycle)
    ]
    if not fitting and options.price_per_seat_month is not None:
        fitting = [row for row in plans if (row["plan"], row["seat_type"]) == (options.plan, options.seat_type)]
        cycles = sorted({row["billing_cycle"] for row in fitting}, key=lambda cycle: cycle != "monthly")
        fitting = [row for row in fitting if row["billing_cycle"] == cycles[0]]
    what = f"{options.plan}, {options.seat_type} seats paid {options.billing_cycle}"
    if not fitting:
        known = sorted({f"{row['plan']}, {row['seat_type']} seats paid {row['billing_cycle']}" for row in plans})
        raise StepFailed(f"openai/seed/subscription_plans.csv has no price of {what}.{did_you_mean(what, known)}")
    found: list[Span] = []
    day = starts_on
    for row in sorted(fitting, key=lambda row: row["effective_from"] or date.min):
        first = max(row["effective_from"] or date.min, starts_on)
        last = None if row["effective_to"] is None else row["effective_to"] - ONE_DAY
        if options.ends_on is not None:
            last = options.ends_on if last is None else min(last, options.ends_on)
        if last is not None and last < first:
            continue
        if first > day:
            break
        if row["seats_min"] is not None and seats < row["seats_min"]:
            raise StepFailed(f"{what}: {seats} seats, but {row['seats_min']} is the smallest number that can be bought")
        found.append(Span(first, last, row["price_per_seat_month"], row["currency"]))
        if last is None:
            return found
        day = last + ONE_DAY
    if options.ends_on is None or day <= options.ends_on:
        raise StepFailed(f"openai/seed/subscription_plans.csv has no price of {what} from {day} on")
    return found


def get_engine() -> SubscriptionsProcessor:
    """Return the processor."""
    return SubscriptionsProcessor()
