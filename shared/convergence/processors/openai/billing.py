"""`openai.billing`: what the provider itself charges, per day, line item and project → `openai_billing_daily_raw`.

Costs can be grouped by API key from 2025-12-06 on only: one earlier day in a request is always refused with 400
(langwatch/langwatch#7579). Earlier days are requested without the key; their rows have a NULL `api_key_id`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.genai.billed import billed_amount, billed_currency
from convergence.processors.http.client import RestClient
from convergence.processors.openai.api import ACCOUNT, ApiSettings, connect, daily
from convergence.processors.settings import settings

PATH: Final = "/organization/costs"
GROUP_BY: Final = ("project_id", "line_item", "api_key_id")
GROUP_BY_BEFORE_KEYS: Final = ("project_id", "line_item")
KEYS_SINCE: Final = date(2025, 12, 6)  # 1764979200


class BillingProcessor(TableProcessor):
    """Extracts the bill of all dates of the run; amounts are Decimal from the digits of the answer."""

    config_model = ApiSettings
    fixed_table = "openai_billing_daily_raw"
    date_field = "usage_date"
    key_columns = ("usage_date", "project_id", "api_key_id", "line_item", "quantity_unit", "currency")

    def __init__(self) -> None:
        self._client: RestClient | None = None

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        options = settings(ApiSettings, step_config)
        self._client = client = await connect(context, options)
        for first, last, group_by in _requests(context.start_date, context.end_date):
            pages = daily(
                client,
                PATH,
                context,
                group_by=group_by,
                page_days=options.page_days,
                exact=True,
                between=(first, last),
            )
            async for page in pages:
                account = {"account_id": client.answered.get(ACCOUNT)}
                yield [{**bill_row(day, result), **account} for day, result in page]

    def outputs(self) -> Mapping[str, Any]:
        """Return how often a call was repeated."""
        assert self._client is not None, "outputs follow an extraction"
        return {"http_calls": self._client.calls, "http_retries": self._client.retries}


def _requests(first: date, last: date) -> Iterator[tuple[date, date, Sequence[str]]]:
    """Yield (first day, last day, group_by): the days before the API supported keys, and those from then on."""
    if first < KEYS_SINCE:
        yield first, min(last, KEYS_SINCE - timedelta(days=1)), GROUP_BY_BEFORE_KEYS
    if last >= KEYS_SINCE:
        yield max(first, KEYS_SINCE), last, GROUP_BY


def bill_row(day: date, result: Mapping[str, Any]) -> Row:
    """Return the row of one result of the costs API. Raises `StepFailed` for an amount that is not one."""
    try:
        amount, currency = result["amount"]["value"], result["amount"]["currency"]
    except (KeyError, TypeError) as error:
        raise StepFailed(f"OpenAI costs of {day}: a result without amount.value and amount.currency") from error
    quantity, where = result.get("quantity"), f"OpenAI costs of {day}"
    return {
        "usage_date": day,
        "line_item": result.get("line_item"),
        "project_id": result.get("project_id"),
        "api_key_id": result.get("api_key_id"),
        "amount": billed_amount(amount, where),
        "currency": billed_currency(currency, where),
        "quantity": None if quantity is None else billed_amount(quantity, where),
        "quantity_unit": result.get("quantity_unit"),
    }


def get_engine() -> BillingProcessor:
    """Return the processor."""
    return BillingProcessor()
