"""`openrouter.usage`: tokens and requests by day, model and endpoint → `genai_metrics_daily_raw`.

Reasoning tokens are a part of the output tokens. The cost of own keys at other providers is counted here in dollars,
and is not in a cost table: those providers bill it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.openrouter.api import Activity, ActivitySettings, activity, connect
from convergence.processors.settings import settings

BYOK: Final = "inference billed to own keys"
COUNTED: Final = {  # field → (what it counts, unit)
    "prompt_tokens": ("input tokens", "Tokens"),
    "completion_tokens": ("output tokens", "Tokens"),
    "reasoning_tokens": ("reasoning tokens, part of output", "Tokens"),
    "requests": ("requests", "Requests"),
}


class OpenRouterUsageProcessor(TableProcessor):
    """Extracts one row for each day, endpoint and kind of count."""

    config_model = ActivitySettings
    fixed_table = "genai_metrics_daily_raw"
    provider = "openrouter"
    date_field = "usage_date"

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one day after the other."""
        options = settings(ActivitySettings, step_config)
        client = await connect(context, options)
        async for _, found in activity(client, options, context):
            yield [row for one in found for row in _rows(one, options)]


def _rows(one: Activity, options: ActivitySettings) -> list[Row]:
    counted: list[tuple[str, int | Decimal, str]] = [
        (what, one.counts[name], unit) for name, (what, unit) in COUNTED.items()
    ]
    return [
        {
            "usage_date": one.day,
            "provider": OpenRouterUsageProcessor.provider,
            "account_id": options.billing_account_id or None,
            "sub_account_id": one.workspace,
            "model": one.model,
            "sku_id": one.endpoint,
            "sku": what,
            "quantity": quantity,
            "unit": unit,
        }
        for what, quantity, unit in [*counted, (BYOK, one.byok, "USD")]
        if quantity
    ]


def get_engine() -> OpenRouterUsageProcessor:
    """Return the processor."""
    return OpenRouterUsageProcessor()
