"""`subscription.rates`: exchange rates of the European Central Bank, from its CSV → `currency_rates_daily_raw`.

Source: euro foreign exchange reference rates, file eurofxref-hist.csv: a date, and for each currency its units for one
euro; `N/A` where there is none. There are none on weekends and holidays.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row, WriteMode
from convergence.processors.genai.currency import CURRENCIES
from convergence.processors.settings import Destination, Settings, settings, table_of
from convergence.processors.subscription.periods import EXACT

TABLE: Final = "currency_rates_daily_raw"
BASE: Final = "EUR"
BATCH: Final = 10_000
AGE_DAYS_MAX: Final = 7  # the longest gap in the rates is shorter
_RATE: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SQL: Final = """
SELECT rate_date, currency, rate, source
FROM currency_rates_daily_raw
WHERE x_org_slug = @org AND x_pipeline_run_date BETWEEN @first AND @last AND currency IN UNNEST(@currencies)
QUALIFY ROW_NUMBER() OVER (PARTITION BY rate_date, currency ORDER BY x_ingested_at DESC, x_run_id) = 1
"""


class RateSettings(Settings):
    """`csv` is the text of the file; `file` its path below the configs folder. `source` is kept with each rate."""

    csv: str = ""
    file: str = ""
    source: str = "European Central Bank, euro foreign exchange reference rates"


class RateImporter:
    """Adds the rates of a file; those of the same day and currency are replaced."""

    config_model = RateSettings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Import; nothing is stored when one line is wrong."""
        options = settings(RateSettings, step_config)
        if bool(options.csv) == bool(options.file):
            raise StepFailed("config: give the rates as csv, or the path of their file as file")
        text = options.csv or context.read_config(options.file).decode("utf-8")
        rows = list(rates_of_csv(text, options.source))
        stage = context.warehouse.stage(table_of(step_config, self.fixed_table))
        for part, start in enumerate(range(0, len(rows), BATCH)):
            await stage.write(part, rows[start : start + BATCH])
        days = sorted({row["rate_date"] for row in rows})
        if not days:
            return {"status": SUCCESS, "rows_processed": 0, "rows_written": 0, "warnings": ["the file has no rates"]}
        loaded = await context.warehouse.load(
            stage, dates=days, date_field="rate_date", mode=WriteMode.MERGE, key_fields=("currency",)
        )
        return {
            "status": SUCCESS,
            "rows_processed": len(rows),
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
        }


def rates_of_csv(text: str, source: str) -> Iterator[Row]:
    """Yield one row for each rate. Raises `StepFailed` that names the line."""
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    header = [name.strip() for name in next(lines, [])]
    currencies = [name for name in header[1:] if name]  # each line of the file ends with a comma
    unknown = [name for name in currencies if name not in CURRENCIES]
    if header[:1] != ["Date"] or not currencies or unknown or len(set(currencies)) < len(currencies):
        raise StepFailed(
            f"rates:1: the header must be Date and currencies of ISO 4217, each once {unknown or ''}".rstrip()
        )
    for cells in lines:
        if not cells:
            continue
        where, (day, *rates) = f"rates:{lines.line_num}", [cell.strip() for cell in cells]
        if not _DAY.fullmatch(day) or len(cells) < len(currencies) + 1:
            raise StepFailed(f"{where}: a line must be a date (YYYY-MM-DD) and a rate of each currency")
        for currency, rate in zip(currencies, rates, strict=False):
            if rate in {"", "N/A"}:
                continue
            if not _RATE.fullmatch(rate) or not Decimal(rate):
                raise StepFailed(f"{where}: the rate of {currency} is {rate[:30]!r}, which is not a positive number")
            yield {
                "rate_date": _date(day, where),
                "currency": currency,
                "base_currency": BASE,
                "rate": Decimal(rate),
                "source": source,
            }


def _date(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise StepFailed(f"{where}: {text!r} is not a date") from None


class Rates:
    """Dated rates against the euro: those of the day, or of the last day before that has some."""

    def __init__(self, rows: list[Mapping[str, Any]]) -> None:
        self._known = {(row["currency"], row["rate_date"]): row for row in rows}

    @classmethod
    async def read(cls, currencies: set[str], first: date, last: date, context: Context) -> Rates:
        """Return the stored rates of these days and of the week before."""
        await context.warehouse.ensure_table(TABLE)
        parameters = {
            "org": Parameter("STRING", context.org_slug),
            "first": Parameter("DATE", first - timedelta(days=AGE_DAYS_MAX)),
            "last": Parameter("DATE", last),
            "currencies": Parameter("ARRAY<STRING>", sorted(currencies - {BASE})),
        }
        return cls(list((await context.warehouse.query(_SQL, parameters, rows_max=1_000_000)).rows))

    def convert(self, currency: str, target: str, day: date) -> tuple[Decimal, date, str]:
        """Return (factor, date of the rate, its source). Raises `StepFailed` where there is no rate."""
        back = (day - timedelta(days=number) for number in range(AGE_DAYS_MAX + 1))
        for at in back:
            found = [self._rate(each, at) for each in (currency, target)]
            if all(each is not None for each in found):
                (of, source), (to, other) = (each for each in found if each is not None)
                return EXACT.divide(to, of), at, "; ".join(sorted({source, other} - {""}))
        raise StepFailed(
            f"no exchange rate of {currency} to {target} on {day} or in the {AGE_DAYS_MAX} days before: import them"
            " with subscription/rates/ecb; nothing was loaded"
        )

    def _rate(self, currency: str, day: date) -> tuple[Decimal, str] | None:
        if currency == BASE:
            return Decimal(1), ""
        row = self._known.get((currency, day))
        return None if row is None else (row["rate"], row["source"])


def get_engine() -> RateImporter:
    """Return the processor."""
    return RateImporter()
