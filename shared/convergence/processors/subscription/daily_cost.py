"""`subscription.daily_cost`: SaaS subscriptions spread over the days they pay for → `saas_subscription_cost_daily`.

The days of a billing period add up to its invoice, to the last digit, also in the currency it is converted to. A period
is converted at the rate of its first day; without a rate nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.domain.money import exact_text
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Row
from convergence.processors.base import days, row_id
from convergence.processors.genai.billed import billed_currency
from convergence.processors.settings import Destination, Settings, settings
from convergence.processors.subscription.periods import EXACT, Invoice, cents, invoices
from convergence.processors.subscription.plans import PlanEditor
from convergence.processors.subscription.rates import Rates
from convergence.processors.subscription.terms import Term, successive

TABLE: Final = "saas_subscription_cost_daily"
_KEY: Final = ("usage_date", "subscription_id", "plan", "kind", "period_start")


class CostSettings(Settings):
    """`currency`: what cost is converted to, beside its own; empty for none."""

    currency: str = ""


class SubscriptionCostProcessor:
    """All subscriptions of the org, for the days of the run."""

    config_model = CostSettings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Replace the days of the run. Raises `StepFailed` where terms contradict each other or a rate is missing."""
        currency = settings(CostSettings, step_config).currency
        target = billed_currency(currency, "config.currency") if currency else ""
        terms = list((await PlanEditor().stored(context)).values())
        first, last = context.start_date, context.end_date
        found = [each for group in successive(terms) for each in invoices(group, first, last)]
        rates = await _rates(target, terms, found, context)
        rows = [row for invoice in found for row in _shares(invoice, target, rates, first, last)]
        rows += [row for term in terms for row in _trial_days(term, first, last)]
        rows += [_refunded(term, target, rates) for term in terms if _within(term.refund_on, first, last)]
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [{**row, "row_id": row_id(row, _KEY)} for row in rows])
        loaded = await context.warehouse.load(stage, dates=days(first, last), date_field="usage_date")
        cost: dict[str, Decimal] = {}
        for row in rows:
            cost[row["currency"]] = EXACT.add(cost.get(row["currency"], Decimal(0)), row["cost"])
        return {
            "status": SUCCESS,
            "rows_processed": len(terms),
            "rows_written": loaded.rows_loaded,
            "table": TABLE,
            "cost": {currency: exact_text(total) for currency, total in sorted(cost.items())},
            "warnings": [] if terms else ["no plan is stored: add one with subscription/plans/edit"],
        }


async def _rates(target: str, terms: Sequence[Term], found: Sequence[Invoice], context: Context) -> Rates | None:
    if not target:
        return None
    oldest = min((each.first for each in found), default=context.start_date)
    currencies = {term.currency for term in terms} | {target}
    return await Rates.read(currencies, min(oldest, context.start_date), context.end_date, context)


def _shares(invoice: Invoice, target: str, rates: Rates | None, first: date, last: date) -> Iterator[Row]:
    converted = _converted(invoice.amount, invoice.term.currency, invoice.first, target, rates)
    amount = converted.pop("amount", None)
    for day in days(max(first, invoice.first), min(last, invoice.last)):
        share = invoice.share(day)
        yield {
            **_facts(invoice.term, day, "seat"),
            "period_start": invoice.first,
            "period_end": invoice.last,
            "invoice_amount": invoice.amount,
            "cost": share,
            "converted_cost": None if amount is None else invoice.share(day, amount),
            **converted,
        }


def _trial_days(term: Term, first: date, last: date) -> Iterator[Row]:
    if term.trial_ends_on is None:
        return
    ends = min(term.trial_ends_on, term.ends_on or date.max)
    for day in days(max(first, term.starts_on), min(last, ends)):
        span = {"period_start": term.starts_on, "period_end": ends, "invoice_amount": Decimal(0)}
        yield {**_facts(term, day, "trial"), **span, "cost": Decimal(0)}


def _refunded(term: Term, target: str, rates: Rates | None) -> Row:
    day, amount = term.refund_on or term.starts_on, -cents(term.refund_amount or Decimal(0), term.currency)
    converted = _converted(amount, term.currency, day, target, rates)
    span = {"period_start": day, "period_end": day, "invoice_amount": amount, "cost": amount}
    return {**_facts(term, day, "refund"), **span, "converted_cost": converted.pop("amount", None), **converted}


def _facts(term: Term, day: date, kind: str) -> dict[str, Any]:
    return {
        "usage_date": day,
        "subscription_id": term.subscription_id,
        "vendor": term.vendor,
        "plan": term.plan,
        "kind": kind,
        "seats": term.seats,
        "unit_price": term.unit_price,
        "billing_cycle": term.billing_cycle,
        "currency": term.currency,
        "billing_account_id": term.billing_account_id,
    }


def _converted(amount: Decimal, currency: str, day: date, target: str, rates: Rates | None) -> dict[str, Any]:
    """Return the amount in the target currency, and the source of its rate; nothing without a target."""
    if rates is None:
        return {}
    if currency == target:
        return {"amount": amount, "converted_currency": target, "exchange_rate": Decimal(1), "rate_date": day,
                "rate_source": "same currency"}  # fmt: skip
    factor, at, source = rates.convert(currency, target, day)
    return {
        "amount": cents(EXACT.multiply(amount, factor), target),
        "converted_currency": target,
        "exchange_rate": factor.quantize(Decimal(1).scaleb(-12), context=EXACT),
        "rate_date": at,
        "rate_source": source,
    }


def _within(day: date | None, first: date, last: date) -> bool:
    return day is not None and first <= day <= last


def get_engine() -> SubscriptionCostProcessor:
    """Return the processor."""
    return SubscriptionCostProcessor()
