"""`anthropic.billing`: what the provider itself charges → `anthropic_billing_daily_raw`.

Amounts come as decimal text in cents; they are kept in USD, digit by digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.warehouse import Row
from convergence.processors.anthropic.api import COST
from convergence.processors.anthropic.report import ReportProcessor
from convergence.processors.genai.billed import billed_amount, billed_currency

GROUP_BY: Final = ("workspace_id", "description")
COLUMNS: Final = (
    *("workspace_id", "description", "cost_type", "context_window", "model", "service_tier", "token_type"),
    "inference_geo",
)


class BillingProcessor(ReportProcessor):
    """Extracts the cost report of all dates of the run. Priority tier is never on it."""

    fixed_table = "anthropic_billing_daily_raw"
    path = COST
    group_by = GROUP_BY
    key_columns = ("usage_date", *COLUMNS, "currency")

    def row(self, day: date, result: Mapping[str, Any]) -> Row:
        """Return the row of one result."""
        return bill_row(day, result)


def bill_row(day: date, result: Mapping[str, Any]) -> Row:
    """Return the row of one result of the cost report. Raises `StepFailed` for an amount that is not one."""
    amount, currency = result.get("amount"), result.get("currency")
    where = f"Anthropic costs of {day}"
    if not isinstance(amount, str) or not isinstance(currency, str):
        raise StepFailed(f"{where}: amount {amount!r} {currency!r} is not a decimal string of cents")
    cents = billed_amount(amount, where)
    row = {name: result.get(name) for name in COLUMNS}
    # The line in the form that the reconciliation reads: model and kind of charge.
    line_item = f"{row['model'] or ''}, {row['token_type'] or row['cost_type'] or row['description'] or ''}"
    return {
        **row,
        "usage_date": day,
        "line_item": line_item,
        "amount": cents.scaleb(-2),
        "currency": billed_currency(currency, where),
    }


def get_engine() -> BillingProcessor:
    """Return the processor."""
    return BillingProcessor()
