"""`openrouter.cost`: what OpenRouter charged by day, model and endpoint → `genai_billing_daily_raw`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from convergence.domain.money import exact_sum, exact_text
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.http.client import RestClient
from convergence.processors.openrouter.api import Activity, ActivitySettings, activity, connect
from convergence.processors.settings import settings


class OpenRouterCostProcessor(TableProcessor):
    """Extracts one row for each day, model, endpoint and workspace."""

    config_model = ActivitySettings
    fixed_table = "genai_billing_daily_raw"
    provider = "openrouter"
    date_field = "usage_date"
    key_columns = (
        *("usage_date", "provider", "account_id", "sub_account_id", "sku_id", "sku", "resource_id", "resource_name"),
    )

    def __init__(self) -> None:
        self._client: RestClient | None = None
        self._cost = Decimal(0)

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one day after the other."""
        options = settings(ActivitySettings, step_config)
        self._client = client = await connect(context, options)
        async for _, found in activity(client, options, context):
            self._cost = exact_sum([self._cost, *(one.usage for one in found)])
            yield [_row(one, options) for one in found]

    def outputs(self) -> Mapping[str, Any]:
        """Return the cost by currency, and how often a call was repeated."""
        assert self._client is not None, "outputs follow an extraction"
        cost = {"USD": exact_text(self._cost)}
        return {"cost": cost, "http_calls": self._client.calls, "http_retries": self._client.retries}


def _row(one: Activity, options: ActivitySettings) -> Row:
    return {
        "usage_date": one.day,
        "provider": OpenRouterCostProcessor.provider,
        "account_id": options.billing_account_id or None,
        "sub_account_id": one.workspace,
        "service": "OpenRouter API",
        "sku_id": one.permaslug or one.model,
        "sku": one.model,
        "model": one.model,
        "resource_id": one.endpoint,
        "resource_name": one.provider,
        "resource_type": "Endpoint",
        "cost": one.usage,
        "currency": "USD",
    }


def get_engine() -> OpenRouterCostProcessor:
    """Return the processor."""
    return OpenRouterCostProcessor()
