"""`genai.reprice`: reprices past days with another price list, before and after; it writes only on request.

Each day's usage is the one that was read last, by whichever pipeline; "before" is the current charges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import orjson
from pydantic import Field

from convergence.config.processors import ps_types
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row, WriteMode
from convergence.processors.base import days
from convergence.processors.genai import before_after
from convergence.processors.genai.cost import CostProcessor
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.seeded import prices_in, seeded_prices
from convergence.processors.genai.unpriced import Unpriced
from convergence.processors.settings import Destination, Settings, settings, table_of

DAYS_MAX: Final = 184
CHANGES_BYTES_MAX: Final = 36_000  # of a result's 64 KiB; the days take up to 20,000
ROWS_MAX: Final = 1_000_000
HISTORY: Final = "org_cost_repricing"
UNIFIED: Final = "genai_cost_daily_unified"

BEFORE_SQL: Final = f"""
SELECT model, charge_kind, currency, price_id, SUM(consumed_quantity) AS consumed_quantity, SUM(cost) AS cost
FROM {UNIFIED}
WHERE usage_date = @day AND provider = @provider AND x_credential_id = @credential_id
GROUP BY model, charge_kind, currency, price_id
"""  # noqa: S608 - a constant of this file
USAGE_SQL: Final = "SELECT * FROM {table}_current WHERE usage_date = @day AND x_credential_id = @credential_id"


class RepriceSettings(Settings):
    """`price_file` is a CSV below configs/; empty means the list as it was seeded, or with `candidate` the one that
    `genai.price_refresh` made. `apply` writes the new charges."""

    provider: str
    price_file: str = ""
    candidate: bool = False
    apply: bool = Field(default=False, strict=False)


class RepriceProcessor:
    """Prices the days of the run anew, one day at a time: memory is bounded by the largest day."""

    config_model = RepriceSettings
    destination_model = Destination

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return before and after by day, and by day and model where they differ.

        Raises `StepFailed` for a provider whose cost is not computed from a price list.
        """
        options = settings(RepriceSettings, step_config)
        pricer = pricer_of(options.provider)
        dates = days(context.start_date, context.end_date)
        if len(dates) > DAYS_MAX:
            raise StepFailed(f"{len(dates)} days at once; re-price at most {DAYS_MAX}, one range at a time")
        for table in (pricer.prices_table, pricer.usage_table, UNIFIED):
            await context.warehouse.ensure_table(table)
        book = PriceBook(await self._prices(context, options, pricer), seeded_by=pricer.seeded_by)
        stage = context.warehouse.stage(table_of(step_config))
        compared: list[dict[str, Any]] = []
        unpriced, read = Unpriced(), 0
        for part, day in enumerate(dates):
            usage = await _rows(context, USAGE_SQL.format(table=pricer.usage_table), day, options)
            charges = [charge for used in usage for charge in pricer.charges(used, book)]
            for charge in charges:
                if "cost" not in charge:
                    unpriced.add(charge)
            compared += before_after.compare(day, await _rows(context, BEFORE_SQL, day, options), charges)
            read += len(usage)
            if options.apply:
                await stage.write(part, charges)
            context.progress(rows=read, note=day.isoformat())
        before_after.one_currency(compared)
        written = 0
        if options.apply:
            written = (await context.warehouse.load(stage, dates=dates, date_field="usage_date")).rows_loaded
            await unpriced.set_aside(context, stage.table)
            await _remember(context, options, pricer, compared)
        return {
            "status": SUCCESS,
            "rows_processed": read,
            "rows_written": written,
            "applied": options.apply,
            **_answer(compared, dates, unpriced.kinds),
        }

    async def _prices(self, context: Context, options: RepriceSettings, pricer: CostProcessor) -> list[Row]:
        if options.price_file:
            return prices_in(context.read_config(options.price_file), options.price_file)
        table = f"{pricer.prices_table}_candidate" if options.candidate else pricer.prices_table
        await context.warehouse.ensure_table(table)
        return await seeded_prices(context, table)


def pricer_of(provider: str) -> CostProcessor:
    """Return the processor that prices a provider's usage. Raises `StepFailed` if its cost is not from a price list."""
    name = f"{provider}.cost"
    pricer = ps_types.load(name) if ps_types.is_installed(name) else None
    if not isinstance(pricer, CostProcessor):
        raise StepFailed(f"config.provider: the cost of {provider!r} is not computed from our price list")
    return pricer


async def _rows(context: Context, sql: str, day: date, options: RepriceSettings) -> Sequence[Row]:
    parameters = {
        "day": Parameter("DATE", day),
        "credential_id": Parameter("STRING", context.credential_id),
        "provider": Parameter("STRING", options.provider),
    }
    used = {name: value for name, value in parameters.items() if f"@{name}" in sql}
    rows = (await context.warehouse.query(sql, used, rows_max=ROWS_MAX)).rows
    if len(rows) == ROWS_MAX:
        raise StepFailed(f"{day} has {ROWS_MAX} rows or more: more than one day's pricing holds")
    return rows


async def _remember(
    context: Context, options: RepriceSettings, pricer: CostProcessor, compared: Sequence[Mapping[str, Any]]
) -> None:
    source = options.price_file or pricer.prices_table
    fixed = {"provider": options.provider, "price_source": source, "repriced_at": context.now()}
    stage = context.warehouse.stage(HISTORY)
    await stage.write(0, [{**row, **fixed} for row in compared])
    await context.warehouse.load(stage, dates=None, mode=WriteMode.APPEND)


def _answer(compared: Sequence[Mapping[str, Any]], dates: Sequence[date], missing: Sequence[str]) -> dict[str, Any]:
    """Figures as text, days in full; changes by size, as many as a result holds."""
    by_day = {day: [row for row in compared if row["usage_date"] == day] for day in dates}
    changed = sorted(
        (row for row in compared if row["reason"] != before_after.SAME), key=lambda row: -abs(row["difference"])
    )
    shown: list[dict[str, Any]] = []
    room = CHANGES_BYTES_MAX
    for row in changed:
        entry = {"usage_date": row["usage_date"].isoformat(), "model": row["model"], "reason": row["reason"]}
        entry |= before_after.totals([row])
        room -= len(orjson.dumps(entry)) + 1
        if room < 0:
            break
        shown.append(entry)
    message = []
    if len(shown) < len(changed):
        message.append(f"{len(shown)} of {len(changed)} changes are listed, the largest; ask for fewer days to see all")
    if missing:
        message.append(f"{len(missing)} kinds of usage have no price in this list: {'; '.join(missing[:20])}")
    return {
        **before_after.totals(compared),
        "days": [{"usage_date": day.isoformat(), **before_after.totals(rows)} for day, rows in by_day.items()],
        "changes": shown,
        "changes_total": len(changed),
        "warnings": message,
    }


def get_engine() -> RepriceProcessor:
    """Return the processor."""
    return RepriceProcessor()
