"""`anthropic.usage`: what the organization used, per day → `anthropic_usage_daily_raw`.

Uncached, cached and written tokens are disjoint counts (unlike OpenAI, whose input is a total).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.http.json_text import write_json
from convergence.ports.warehouse import Row
from convergence.processors.anthropic.api import USAGE
from convergence.processors.anthropic.report import ReportProcessor
from convergence.processors.generic.api.rows import flatten

GROUP_BY: Final = ("api_key_id", "workspace_id", "model", "service_tier", "context_window", "inference_geo", "speed")
# Without it the report cannot be grouped by speed, and fast usage cannot be distinguished (Admin API, messages report).
FAST_MODE: Final = "fast-mode-2026-02-01"
# Path in a result → column.
COUNTS: Final = {
    "uncached_input_tokens": "uncached_input_tokens",
    "cache_read_input_tokens": "cache_read_input_tokens",
    "cache_creation_ephemeral_5m_input_tokens": "cache_write_5m_tokens",
    "cache_creation_ephemeral_1h_input_tokens": "cache_write_1h_tokens",
    "output_tokens": "output_tokens",
    "server_tool_use_web_search_requests": "web_search_requests",
}


class UsageProcessor(ReportProcessor):
    """Extracts the messages report of all dates of the run."""

    fixed_table = "anthropic_usage_daily_raw"
    path = USAGE
    group_by = GROUP_BY
    beta = FAST_MODE
    key_columns = ("usage_date", "usage_kind", *GROUP_BY)

    def row(self, day: date, result: Mapping[str, Any]) -> Row:
        """Return the row of one result."""
        return usage_row(day, result)


def usage_row(day: date, result: Mapping[str, Any]) -> Row:
    """Return the row of one result of the messages report. Raises `StepFailed` for a count that is not one."""
    row: dict[str, Any] = {"usage_date": day, "usage_kind": "messages"}
    others: dict[str, Any] = {}
    for name, value in flatten(result).items():
        if name in COUNTS:
            if not isinstance(value, int) or value < 0:
                raise StepFailed(
                    f"Anthropic usage of {day}: {name} is {value!r}; a count must be a non-negative integer"
                )
            row[COUNTS[name]] = value
        elif name in GROUP_BY:
            row[name] = value
        elif value is not None:
            others[name] = value
    missing = [name for name, column in COUNTS.items() if column not in row]
    if missing:
        raise StepFailed(f"Anthropic usage of {day}: a result without {', '.join(missing)}")
    if others:
        row["other_fields"] = write_json(others)
    return row


def get_engine() -> UsageProcessor:
    """Return the processor."""
    return UsageProcessor()
