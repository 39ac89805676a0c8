"""`anthropic.billing`: what the provider itself charges → `anthropic_billing_daily_raw`.

Amounts come as decimal text in cents; they are kept in USD, digit by digit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.anthropic.api import COST, ApiSettings, connect, daily
from convergence.processors.base import TableProcessor
from convergence.processors.rest import RestClient
from convergence.processors.settings import settings

GROUP_BY: Final = ("workspace_id", "description")
COLUMNS: Final = (
    *("workspace_id", "description", "cost_type", "context_window", "model", "service_tier", "token_type"),
    "inference_geo",
)


class BillingProcessor(TableProcessor):
    """Extracts the cost report of all dates of the run. Priority tier is never on it."""

    config_model = ApiSettings
    date_field = "usage_date"

    def __init__(self) -> None:
        self._client: RestClient | None = None

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        wanted = settings(ApiSettings, step_config)
        self._client = client = await connect(context, wanted)
        async for page in daily(client, COST, context, group_by=GROUP_BY, page_days=wanted.page_days):
            yield [_row(day, result) for day, result in page]

    def outputs(self) -> Mapping[str, Any]:
        """Say how often a call was repeated."""
        assert self._client is not None, "outputs follow an extraction"
        return {"http_calls": self._client.calls, "http_retries": self._client.retries}


def _row(day: date, result: Mapping[str, Any]) -> Row:
    amount, currency = result.get("amount"), result.get("currency")
    try:
        if not isinstance(amount, str) or not isinstance(currency, str):
            raise InvalidOperation
        cents = Decimal(amount)
    except InvalidOperation as error:
        raise StepFailed(
            f"Anthropic costs of {day}: amount {amount!r} {currency!r} is no decimal text of cents"
        ) from error
    row = {name: result.get(name) for name in COLUMNS}
    # The line as the reconciliation reads it: model and kind of charge.
    line_item = f"{row['model'] or ''}, {row['token_type'] or row['cost_type'] or row['description'] or ''}"
    return {**row, "usage_date": day, "line_item": line_item, "amount": cents.scaleb(-2), "currency": currency.upper()}


def get_engine() -> BillingProcessor:
    """Return the processor."""
    return BillingProcessor()
