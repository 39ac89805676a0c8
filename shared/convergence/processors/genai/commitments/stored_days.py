"""Days of an invoice that were charged before its commitment changed: old and new cost may not be mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.genai.commitments.terms import Commitment

_SQL: Final = """
SELECT usage_date, commitment_id, currency, SUM(billed_cost) AS billed, SUM(effective_cost) AS effective
FROM genai_commitment_costs_daily
WHERE x_org_slug = @org AND x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id
  AND x_pipeline_run_date BETWEEN @from_day AND @to_day AND usage_date NOT BETWEEN @first AND @last
  AND (usage_date BETWEEN @lower AND @upper OR period_end >= @first AND period_start <= @last)
GROUP BY usage_date, commitment_id, currency
"""


async def refuse_other_terms(known: Sequence[Commitment], context: Context) -> None:
    """Raise `StepFailed` for stored days that share an invoice with the run's days and were charged at other terms."""
    first, last = context.start_date, context.end_date
    periods = [invoice for each in known for invoice in each.invoices(first, last)]
    if not periods:
        return
    texts = {"org": context.org_slug, "pipeline_id": context.pipeline_id, "credential_id": context.credential_id}
    bounds = {
        "first": first,
        "last": last,
        "lower": min(each.first for each in periods),
        "upper": max(each.last for each in periods),
        "from_day": min(each.starts_on for each in known),
        "to_day": max(each.ends_on for each in known),
    }
    parameters = {name: Parameter("STRING", text) for name, text in texts.items()}
    parameters |= {name: Parameter("DATE", day) for name, day in bounds.items()}
    stored = (await context.warehouse.query(_SQL, parameters, rows_max=1_000_000)).rows
    stale = other_terms({each.commitment_id: each for each in known}, stored)
    if stale:
        names = sorted({name for name, _ in stale})
        dates = [first, last, *(day for _, day in stale)]
        raise StepFailed(
            f"{', '.join(names[:9])}: days of this invoice were charged before the commitment changed. Run"
            f" {min(dates)} to {max(dates)} at once; or restore its terms, end it and add the new ones under another id"
        )


def other_terms(known: Mapping[str, Commitment], stored: Sequence[Row]) -> list[tuple[str, date]]:
    """Return commitment and day of the rows whose cost differs from the commitment's present cost for the day.

    `stored`: usage_date, commitment_id, currency, billed and effective cost. Unknown commitments are left alone.
    """
    return [
        (row["commitment_id"], row["usage_date"])
        for row in stored
        if row["commitment_id"] in known
        and (row["currency"], row["billed"], row["effective"]) != _now(known[row["commitment_id"]], row["usage_date"])
    ]


def _now(commitment: Commitment, day: date) -> tuple[str, Decimal, Decimal]:
    billed = effective = Decimal(0)
    for invoice in commitment.invoices(day, day):
        billed += invoice.amount if invoice.first == day else 0
        effective += invoice.share(day)
    return commitment.currency, billed, effective
