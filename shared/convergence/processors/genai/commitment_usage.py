"""`genai.commitment_usage`: how much of each commitment was used, by day → `genai_commitment_usage_raw`.

The tokens of a commitment's resource are those that the usage pipelines of its provider have counted
(`genai_metrics_daily_raw`). A unit serves `tokens_per_unit_minute` tokens a minute, so a day's tokens correspond to a
share of the day's unit-hours; any excess was served outside of the commitment. Daily sums do not show peaks within a
day. Where use is not measured it is null, and `reason` gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter
from convergence.processors.base import days, row_id
from convergence.processors.genai.commitment_terms import CommitmentEditor
from convergence.processors.genai.commitments.terms import Commitment
from convergence.processors.settings import Destination, Settings, settings
from convergence.processors.subscription.periods import EXACT, SHARE

TABLE: Final = "genai_commitment_usage_raw"
NAMED_MAX: Final = 10  # warnings of a run
METRICS: Final = "genai_metrics_daily_raw"
INPUT, OUTPUT = "input tokens", "output tokens"
_KEY: Final = ("usage_date", "commitment_id")
_COUNTED: Final = f"""
SELECT usage_date, provider, IF(provider = 'azure_openai', sub_account_id, model) AS resource,
  SUM(IF(sku = '{INPUT}', quantity, 0)) AS input_tokens, SUM(IF(sku = '{OUTPUT}', quantity, 0)) AS output_tokens
FROM {METRICS}_current
WHERE usage_date BETWEEN @first AND @last AND x_pipeline_run_date BETWEEN @first AND @last
GROUP BY usage_date, provider, resource
"""  # noqa: S608 - constants of this file
_READ: Final = f"""
SELECT DISTINCT x_pipeline_run_date AS usage_date, provider FROM {METRICS}_reads
WHERE x_pipeline_run_date BETWEEN @first AND @last
"""  # noqa: S608 - as above

Tokens = dict[tuple[date, str, str], tuple[Decimal, Decimal]]


class CommitmentUsageProcessor:
    """All commitments of the org that cover a day of the run and are charged."""

    config_model = Settings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Replace the days of the run."""
        settings(Settings, step_config)
        known = (await CommitmentEditor().stored(context)).values()
        await context.warehouse.ensure_table(METRICS)
        first, last = context.start_date, context.end_date
        bounds = {"first": Parameter("DATE", first), "last": Parameter("DATE", last)}
        counted: Tokens = {
            (row["usage_date"], row["provider"], row["resource"]): (row["input_tokens"], row["output_tokens"])
            for row in (await context.warehouse.query(_COUNTED, bounds, rows_max=1_000_000)).rows
            if row["resource"] is not None
        }
        read = {
            (row["usage_date"], row["provider"])
            for row in (await context.warehouse.query(_READ, bounds, rows_max=100_000)).rows
        }
        rows = [row for day in days(first, last) for row in usage_rows(known, day, counted, read)]
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [{**row, "row_id": row_id(row, _KEY)} for row in rows])
        loaded = await context.warehouse.load(stage, dates=days(first, last), date_field="usage_date")
        unmeasured = sorted({row["commitment_id"] for row in rows if row["reason"]})
        return {
            "status": SUCCESS,
            "rows_processed": len(known),
            "rows_written": loaded.rows_loaded,
            "table": TABLE,
            "warnings": [
                f"the use of {name} is not known on all days: {TABLE} has the reason" for name in unmeasured[:9]
            ],
        }


def usage_rows(
    known: Iterable[Commitment], day: date, counted: Tokens, read: set[tuple[date, str]]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each commitment that covers the day.

    `counted`: input and output tokens by day, provider and resource. `read`: days whose metrics were queried. Two
    commitments of one resource serve its tokens one after the other, the older one first.
    """
    served: dict[tuple[str, str], Decimal] = {}  # share of a resource's tokens that earlier commitments serve
    charged = (each for each in known if each.is_charged and each.covers(day))
    for each in sorted(charged, key=lambda one: (one.starts_on, one.commitment_id)):
        row = {
            "usage_date": day,
            "commitment_id": each.commitment_id,
            "provider": each.provider,
            "resource": each.resource,
            "unit": f"{each.unit_name}-Hours",
            "committed_quantity": Decimal(each.unit_hours),
        }
        reason = _unknown(each, day, read)
        if reason or each.resource is None or each.tokens_per_unit_minute is None:
            yield {**row, "used_quantity": None, "input_tokens": None, "output_tokens": None, "reason": reason}
            continue
        tokens_in, tokens_out = counted.get((day, each.provider, each.resource), (Decimal(0), Decimal(0)))
        place = (each.provider, each.resource)
        left = Decimal(1) - served.get(place, Decimal(0))
        weighted = EXACT.add(tokens_in, EXACT.multiply(tokens_out, each.output_weight))
        needed = EXACT.multiply(EXACT.divide(weighted, EXACT.multiply(each.tokens_per_unit_minute, Decimal(60))), left)
        used = min(needed, Decimal(each.unit_hours))
        if needed:
            served[place] = EXACT.add(Decimal(1) - left, EXACT.multiply(left, EXACT.divide(used, needed)))
        yield {
            **row,
            "used_quantity": used.quantize(SHARE, context=EXACT),
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "reason": None,
        }


def _unknown(commitment: Commitment, day: date, read: set[tuple[date, str]]) -> str | None:
    if commitment.tokens_per_unit_minute is None:
        return "the commitment has no tokens_per_unit_minute"
    if (day, commitment.provider) not in read:
        return f"the tokens of {commitment.provider} have not been read for this day"
    return None


def get_engine() -> CommitmentUsageProcessor:
    """Return the processor."""
    return CommitmentUsageProcessor()
