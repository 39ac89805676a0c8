"""`genai.commitment_cost`: commitments spread over the days they pay for → `genai_commitment_costs_daily`.

An invoice is billed on the first day that it pays for (`purchase`). Its cost is spread over its days, to the last
digit, and each day's share is split by what was used of the commitment (`used`, `unused`; `unmeasured` where that is
not known): so effective cost over a period equals what was billed for it (FOCUS 1.3, EffectiveCost).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from convergence.domain.money import exact_sum, exact_text
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.base import days, row_id
from convergence.processors.genai.commitment_terms import CommitmentEditor
from convergence.processors.genai.commitment_usage import TABLE as USAGE
from convergence.processors.genai.commitments.stored_days import refuse_other_terms
from convergence.processors.genai.commitments.terms import Commitment
from convergence.processors.settings import Destination, Settings, settings
from convergence.processors.subscription.periods import EXACT, SHARE, Invoice

TABLE: Final = "genai_commitment_costs_daily"
_KEY: Final = ("usage_date", "commitment_id", "kind", "period_start")
_SQL: Final = f"""
SELECT usage_date, commitment_id, used_quantity FROM {USAGE}
WHERE x_org_slug = @org AND usage_date BETWEEN @first AND @last AND x_pipeline_run_date BETWEEN @first AND @last
QUALIFY ROW_NUMBER() OVER (PARTITION BY usage_date, commitment_id ORDER BY x_ingested_at DESC, x_run_id) = 1
"""  # noqa: S608 - a constant
# The period that a purchase pays for, by billing cycle.
_CYCLES: Final = {"hourly": "-Hours", "monthly": "-Months", "annual": "-Years", "upfront": "s"}


class Seller(NamedTuple):
    """The names of seller, host and service in FOCUS charges."""

    provider: str
    host: str
    service: str


SELLERS: Final = {
    "azure_openai": Seller("Microsoft", "Microsoft Azure", "Azure OpenAI"),
    "bedrock": Seller("AWS", "AWS", "Amazon Bedrock"),
    "vertex": Seller("Google Cloud", "Google Cloud", "Vertex AI"),
}


class CommitmentCostProcessor:
    """All commitments of the org that pay for a day of the run and are charged."""

    config_model = Settings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Replace the days of the run. Raises `StepFailed` where other days of an invoice have other terms."""
        settings(Settings, step_config)
        known = [each for each in (await CommitmentEditor().stored(context)).values() if each.is_charged]
        first, last = context.start_date, context.end_date
        await context.warehouse.ensure_table(USAGE)
        await context.warehouse.ensure_table(TABLE)
        await refuse_other_terms(known, context)
        bounds = {"first": Parameter("DATE", first), "last": Parameter("DATE", last)}
        parameters = {"org": Parameter("STRING", context.org_slug), **bounds}
        used = {
            (row["usage_date"], row["commitment_id"]): row["used_quantity"]
            for row in (await context.warehouse.query(_SQL, parameters, rows_max=1_000_000)).rows
        }
        rows = [row for each in known for row in cost_rows(each, first, last, used)]
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [{**row, "row_id": row_id(row, _KEY)} for row in rows])
        loaded = await context.warehouse.load(stage, dates=days(first, last), date_field="usage_date")
        return {
            "status": SUCCESS,
            "rows_processed": len(known),
            "rows_written": loaded.rows_loaded,
            "table": TABLE,
            "billed_cost": _sums(rows, "billed_cost"),
            "effective_cost": _sums(rows, "effective_cost"),
            "warnings": [] if known else ["no commitment is stored: add one with genai/commitment/edit"],
        }


def cost_rows(
    commitment: Commitment, first: date, last: date, used: Mapping[tuple[date, str], Decimal | None]
) -> Iterator[Row]:
    """Yield the rows of the days from `first` to `last`; `used` are unit-hours by day and commitment."""
    for invoice in commitment.invoices(first, last):
        if first <= invoice.first:
            yield {**_facts(commitment, invoice, invoice.first), **_purchase(commitment, invoice)}
        for day in days(max(first, invoice.first), min(last, invoice.last)):
            share = invoice.share(day)
            facts = _facts(commitment, invoice, day)
            whole, part = Decimal(commitment.unit_hours), used.get((day, commitment.commitment_id))
            if part is None:
                yield {**facts, **_day("unmeasured", commitment, whole, share)}
                continue
            cost = EXACT.divide(EXACT.multiply(share, part), whole).quantize(SHARE, context=EXACT)
            if part:
                yield {**facts, **_day("used", commitment, part, cost)}
            if part < whole:
                yield {**facts, **_day("unused", commitment, whole - part, EXACT.subtract(share, cost))}


def _purchase(commitment: Commitment, invoice: Invoice) -> dict[str, Any]:
    cycle = commitment.billing_cycle
    quantity = commitment.unit_hours if cycle == "hourly" else commitment.units
    return {
        "kind": "purchase",
        "quantity": Decimal(quantity),
        "unit": f"{commitment.unit_name}{_CYCLES[cycle]}",
        "committed_quantity": Decimal(commitment.unit_hours * invoice.days),
        "billed_cost": invoice.amount,
        "effective_cost": Decimal(0),
        "list_cost": invoice.amount,
    }


def _day(kind: str, commitment: Commitment, quantity: Decimal, cost: Decimal) -> dict[str, Any]:
    listed = commitment.list_unit_price
    return {
        "kind": kind,
        "quantity": quantity,
        "unit": f"{commitment.unit_name}-Hours",
        "committed_quantity": quantity,
        "billed_cost": Decimal(0),
        "effective_cost": cost,
        "list_cost": cost if listed is None else EXACT.multiply(listed, quantity),
    }


def _facts(commitment: Commitment, invoice: Invoice, day: date) -> dict[str, Any]:
    seller = SELLERS[commitment.provider]
    return {
        "usage_date": day,
        "commitment_id": commitment.commitment_id,
        "contract_id": commitment.contract_id or commitment.commitment_id,
        "commitment_type": commitment.commitment_type,
        "description": commitment.description,
        "provider": commitment.provider,
        "service_provider": seller.provider,
        "host_provider": seller.host,
        "service": seller.service,
        "resource": commitment.resource,
        "region": commitment.region,
        "billing_cycle": commitment.billing_cycle,
        "list_unit_price": commitment.list_unit_price,
        "committed_unit": f"{commitment.unit_name}-Hours",
        "period_start": invoice.first,
        "period_end": invoice.last,
        "currency": commitment.currency,
        "billing_account_id": commitment.billing_account_id,
        "billed_by": commitment.billed_by,
    }


def _sums(rows: Sequence[Row], name: str) -> dict[str, str]:
    """Return the sum of a column by currency."""
    currencies = sorted({row["currency"] for row in rows})
    return {each: exact_text(exact_sum(row[name] for row in rows if row["currency"] == each)) for each in currencies}


def get_engine() -> CommitmentCostProcessor:
    """Return the processor."""
    return CommitmentCostProcessor()
