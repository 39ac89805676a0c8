"""`genai.infrastructure_usage`: GPU hours by day and resource, from bills → `genai_infrastructure_usage_raw`.

Bills do not state how many GPUs a machine has. The name of the machine, or of the GPU itself, is in a charge's SKU,
meter, description or details; `genai/seed/gpu_names.csv` has the GPUs for each such name. The charges are those of the
bills that count (`cost_data_standard_1_3`), so no bill is counted twice.

Products sold with a machine have its name and its hours, too: software, licences, a commitment, a discount. These hours
are not counted again; `left_out` of the result has how many charges these are, by reason.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import days, row_id
from convergence.processors.focus.bills import BILLS
from convergence.processors.settings import Destination, Settings, settings
from convergence.processors.subscription.periods import EXACT, SHARE

TABLE: Final = "genai_infrastructure_usage_raw"
CHARGES: Final = "cost_data_standard_1_3"
SEED: Final = "genai/seed/gpu_names.csv"
ROWS_MAX: Final = 100_000  # of a day
# Units of time → seconds. A unit with a number, such as 100 Hours, may be a block or not: it is not guessed.
_SECONDS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("hours", "hour", "hrs", "1 hour", "gpu-hours"), 3600),
    **dict.fromkeys(("minutes", "minute"), 60),
    **dict.fromkeys(("seconds", "second"), 1),
}


def _words(columns: str) -> str:
    """Return the SQL of a text that has these columns in lower case, with single spaces."""
    return f"REGEXP_REPLACE(LOWER(ARRAY_TO_STRING([{columns}], ' ')), r'[_\\s]+', ' ')"


_KEY: Final = (
    *("usage_date", "provider", "account_id", "sub_account_id", "region", "service", "resource_id", "name", "unit"),
    *("is_unused", "currency"),
)
# Other products that have a machine's name, recognised by service, meter and description: software of a marketplace,
# the fee of Amazon EMR, licences. Neither their hours nor their cost are those of a GPU.
_OTHERS: Final[Mapping[str, str]] = {
    "storage": "ebsoptimized",
    "software": "softwareusage|software usage|marketplace|mapreduce",
    "licence": "licen[cs]",
}
# Charges that are a part of what a GPU costs, for hours that other charges have.
_COST_ONLY: Final = ("commitment", "negative_cost")
_LEFT_OUT: Final = (*_OTHERS, "other_meter", *_COST_ONLY)
# Azure writes Standard_NC6s_v3 and NC6s v3; its licences and addresses name their machine in columns of their own, so
# these are read only where a charge has no meter. Data that a machine sends is charged under its name as well: units
# other than those of time are left out. A correction takes back its hours and its cost, so both are negative.
_SQL: Final = f"""
SELECT provider, account_id, sub_account_id, region, service, resource_id, name, unit, is_unused, currency,
  SUM(IF(reason IS NULL, quantity, 0)) AS quantity, COUNTIF(reason IS NULL AND quantity IS NULL) AS uncounted,
  SUM(IF(is_gpu, billed, 0)) AS billed_cost, SUM(IF(is_gpu, effective, 0)) AS effective_cost,
  SUM(IF(is_gpu, listed, 0)) AS list_cost, COUNTIF(is_gpu AND listed IS NULL) AS unlisted, COUNTIF(is_gpu) AS charges,
  {", ".join(f"COUNTIF(COALESCE(reason, '') = '{each}') AS {each}" for each in _LEFT_OUT)}
FROM (
  SELECT *, reason IS NULL OR reason IN UNNEST({list(_COST_ONLY)}) AS is_gpu
  FROM (
    SELECT x_Provider AS provider, BillingAccountId AS account_id, SubAccountId AS sub_account_id, RegionId AS region,
      ServiceName AS service, ResourceId AS resource_id, BillingCurrency AS currency,
      COALESCE(REGEXP_EXTRACT(words, @names), REGEXP_EXTRACT(more, @names)) AS name,
      COALESCE(CommitmentDiscountStatus, '') = 'Unused' AS is_unused,
      IF(ConsumedQuantity IS NULL, PricingUnit, ConsumedUnit) AS unit,
      COALESCE(ConsumedQuantity, PricingQuantity) AS quantity,
      BilledCost AS billed, EffectiveCost AS effective, ListCost AS listed,
      CASE
        {" ".join(f"WHEN REGEXP_CONTAINS(product, r'{words}') THEN '{each}'" for each, words in _OTHERS.items())}
        WHEN NOT REGEXP_CONTAINS(words, @names) AND SkuMeter IS NOT NULL THEN 'other_meter'
        WHEN REGEXP_CONTAINS(product, r'\\bcommitment\\b') THEN 'commitment'
        WHEN LEAST(BilledCost, EffectiveCost) < 0 AND COALESCE(ConsumedQuantity, PricingQuantity, 0) >= 0
          THEN 'negative_cost'
      END AS reason
    FROM (
      SELECT *, {_words("SkuMeter, SkuId, ChargeDescription, SkuPriceDetails")} AS words,
        {_words("x_SourceColumns")} AS more, {_words("ServiceName, SkuMeter, ChargeDescription")} AS product
      FROM {CHARGES}
      WHERE x_org_slug = @org AND x_pipeline_run_date = @day AND ChargeCategory = 'Usage'
        AND x_SourceTable IN UNNEST(@bills)
    )
    WHERE REGEXP_CONTAINS(words, @names) OR REGEXP_CONTAINS(more, @names)
  )
)
WHERE unit IS NULL OR REGEXP_CONTAINS(LOWER(unit), r'hour|hrs|minute|second')
GROUP BY provider, account_id, sub_account_id, region, service, resource_id, name, unit, is_unused, currency
"""  # noqa: S608 - constants of this file


class Gpus(NamedTuple):
    """What a name stands for: a number of GPUs of one model."""

    model: str
    number: int


class InfrastructureUsageProcessor:
    """All GPU charges of the run's days."""

    config_model = Settings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Replace the days of the run. Raises `StepFailed` for a day with more resources than a step can hold."""
        settings(Settings, step_config)
        known = gpu_names(context.read_config(SEED).decode("utf-8"))
        await context.warehouse.ensure_table(CHARGES)
        stage = context.warehouse.stage(TABLE)
        charges, unknown, left_out = 0, set[str](), Counter[str]()
        span = days(context.start_date, context.end_date)
        for part, day in enumerate(span):
            found = await _found(day, known, context)
            left_out.update({reason: sum(row[reason] for row in found) for reason in _LEFT_OUT})
            rows = [usage_row(row, day, known) for row in found if row["charges"]]
            charges += sum(row["charges"] for row in rows)
            unknown |= {str(row["unit"]) for row in rows if row["gpu_hours"] is None}
            await stage.write(part, [{**row, "row_id": row_id(row, _KEY)} for row in rows])
        loaded = await context.warehouse.load(stage, dates=span, date_field="usage_date")
        return {
            "status": SUCCESS,
            "rows_processed": charges,
            "rows_written": loaded.rows_loaded,
            "table": TABLE,
            "left_out": {reason: number for reason, number in left_out.items() if number},
            "warnings": [f"GPU hours are not known of charges whose unit is {unit}" for unit in sorted(unknown)],
        }


def gpu_names(text: str) -> dict[str, Gpus]:
    """Return the GPUs of each name of the CSV. Raises `StepFailed` that names the line."""
    found: dict[str, Gpus] = {}
    for number, line in enumerate(csv.DictReader(io.StringIO(text)), 2):
        name, count = line.get("name") or "", line.get("gpus") or ""
        if not name or name != name.lower() or name in found or not count.isdecimal() or not line.get("gpu_model"):
            raise StepFailed(f"{SEED}:{number}: each name once, in lower case, with gpu_model and a number of gpus")
        found[name] = Gpus(line["gpu_model"], int(count))
    return found


def pattern(known: Mapping[str, Gpus]) -> str:
    """Return the regular expression (RE2) that finds a name as a word of its own."""
    names = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
    return rf"(?:^|[^a-z0-9-])({names})(?:[^a-z0-9]|$)"


def usage_row(row: Row, day: date, known: Mapping[str, Gpus]) -> dict[str, Any]:
    """Return the row of a resource; hours are null where the bill has no quantity in a unit of time."""
    gpus = known[row["name"]]
    seconds = _SECONDS.get(str(row["unit"]).strip().lower())
    hours: Decimal | None = None
    if seconds is not None and row["quantity"] is not None and not row["uncounted"]:
        whole = EXACT.multiply(row["quantity"], Decimal(seconds))
        hours = EXACT.divide(whole, Decimal(3600)).quantize(SHARE, context=EXACT)
    kept = {name: row[name] for name in row if name not in {"quantity", "uncounted", "unlisted", *_LEFT_OUT}}
    return {
        **kept,
        "usage_date": day,
        "list_cost": None if row["unlisted"] else row["list_cost"],
        "gpu_model": gpus.model,
        "gpus": gpus.number,
        "hours": hours,
        "gpu_hours": None if hours is None else EXACT.multiply(hours, Decimal(gpus.number)),
    }


async def _found(day: date, known: Mapping[str, Gpus], context: Context) -> Sequence[Row]:
    parameters = {
        "org": Parameter("STRING", context.org_slug),
        "day": Parameter("DATE", day),
        "bills": Parameter("ARRAY<STRING>", list(BILLS)),
        "names": Parameter("STRING", pattern(known)),
    }
    rows = (await context.warehouse.query(_SQL, parameters, rows_max=ROWS_MAX + 1)).rows
    if len(rows) > ROWS_MAX:
        raise StepFailed(f"{day} has more than {ROWS_MAX} resources with GPUs: nothing was loaded")
    return rows


def get_engine() -> InfrastructureUsageProcessor:
    """Return the processor."""
    return InfrastructureUsageProcessor()
