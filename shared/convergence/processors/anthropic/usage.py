"""`anthropic.usage`: what the organization used, per day → `anthropic_usage_daily_raw`.

Uncached, cached and written tokens are disjoint counts (unlike OpenAI, whose input is a total).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.anthropic.api import USAGE, ApiSettings, connect, daily
from convergence.processors.base import TableProcessor
from convergence.processors.generic.api_rows import flatten
from convergence.processors.rest import RestClient
from convergence.processors.settings import settings

GROUP_BY: Final = ("api_key_id", "workspace_id", "model", "service_tier", "context_window", "inference_geo")
# Path in a result → column.
COUNTS: Final = {
    "uncached_input_tokens": "uncached_input_tokens",
    "cache_read_input_tokens": "cache_read_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens": "cache_write_5m_tokens",
    "cache_creation_ephemeral_1h_input_tokens": "cache_write_1h_tokens",
    "output_tokens": "output_tokens",
    "server_tool_use_web_search_requests": "web_search_requests",
}


class UsageProcessor(TableProcessor):
    """Extracts the messages report of all dates of the run."""

    config_model = ApiSettings
    date_field = "usage_date"

    def __init__(self) -> None:
        self._client: RestClient | None = None

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        wanted = settings(ApiSettings, step_config)
        self._client = client = await connect(context, wanted)
        async for page in daily(client, USAGE, context, group_by=GROUP_BY, page_days=wanted.page_days):
            yield [_row(day, result) for day, result in page]

    def outputs(self) -> Mapping[str, Any]:
        """Say how often a call was repeated."""
        assert self._client is not None, "outputs follow an extraction"
        return {"http_calls": self._client.calls, "http_retries": self._client.retries}


def _row(day: date, result: Mapping[str, Any]) -> Row:
    row: dict[str, Any] = {"usage_date": day, "usage_kind": "messages"}
    others: dict[str, Any] = {}
    for name, value in flatten(result).items():
        if name in COUNTS:
            if not isinstance(value, int) or value < 0:
                raise StepFailed(f"Anthropic usage of {day}: {name} is {value!r}; a count is a whole number from 0 on")
            row[COUNTS[name]] = value
        elif name in GROUP_BY:
            row[name] = value
        elif value is not None:
            others[name] = value
    missing = [name for name, column in COUNTS.items() if column not in row]
    if missing:
        raise StepFailed(f"Anthropic usage of {day}: a result without {', '.join(missing)}")
    if others:
        row["other_fields"] = json.dumps(others, sort_keys=True)
    return row


def get_engine() -> UsageProcessor:
    """Return the processor."""
    return UsageProcessor()
