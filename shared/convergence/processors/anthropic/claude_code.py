"""`anthropic.claude_code`: who used Claude Code, and the tokens that it took → `anthropic_claude_code_daily_raw`.

One report, two kinds of rows: `activity` (one for each record: sessions, lines, commits, tools) and `model` (one for
each model of a record: tokens, estimated cost). Each figure is on rows of one kind only, so any column can be added up.

The tokens of API customers are in the messages report too, and the cost is an estimate of the provider's: these rows
never enter cost tables (platform.claude.com, Admin API, Claude Code Usage Report).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson
from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.http.answers import objects
from convergence.ports.http.json_text import write_json
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.anthropic.api import CLAUDE_CODE, ApiSettings, connect
from convergence.processors.base import TableProcessor, days
from convergence.processors.genai.billed import billed_currency
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import cursor_paging
from convergence.processors.settings import settings

TOKENS: Final = {
    "input": "uncached_input_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_creation": "cache_write_tokens",
    "output": "output_tokens",
}
# Path in core_metrics → column.
ACTIVITY: Final = {
    ("num_sessions",): "sessions",
    ("lines_of_code", "added"): "lines_added",
    ("lines_of_code", "removed"): "lines_removed",
    ("commits_by_claude_code",): "commits",
    ("pull_requests_by_claude_code",): "pull_requests",
}


class ClaudeCodeSettings(ApiSettings):
    """`page_records` is the number of records in one answer; each day is requested separately."""

    page_records: int = Field(default=1000, ge=1, le=1000)


class ClaudeCodeProcessor(TableProcessor):
    """Extracts the report of all dates of the run, day by day: the API has no date ranges."""

    config_model = ClaudeCodeSettings
    fixed_table = "anthropic_claude_code_daily_raw"
    date_field = "usage_date"

    def __init__(self) -> None:
        self._client: RestClient | None = None

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other.

        Raises `StepFailed` for a record of another day, and for one that appears twice: pages would overlap.
        """
        options = settings(ClaudeCodeSettings, step_config)
        self._client = client = await connect(context, options)
        for day in days(context.start_date, context.end_date):
            params = [("starting_at", day.isoformat()), ("limit", str(options.page_records))]
            seen: set[bytes] = set()
            async for page in client.pages(CLAUDE_CODE, params, paging=cursor_paging()):
                records = page.get("data")
                if not isinstance(records, list):
                    raise StepFailed(f"Anthropic GET {CLAUDE_CODE}: the answer of {day} has no list data")
                yield [row for record in records for row in _rows(record, day, seen)]

    def outputs(self) -> Mapping[str, Any]:
        """Return how often calls were retried."""
        assert self._client is not None, "outputs follow an extraction"
        return {"http_calls": self._client.calls, "http_retries": self._client.retries}


def _rows(record: Any, day: date, seen: set[bytes]) -> Iterator[Row]:
    where = f"Anthropic Claude Code report of {day}"
    try:
        found = datetime.fromisoformat(record["date"]).date()
        models, metrics = objects(record["model_breakdown"]), record["core_metrics"]
        who = _who(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StepFailed(f"{where}: a record lacks date, actor, core_metrics or model_breakdown ({error!r})") from error
    digest = orjson.dumps(record, option=orjson.OPT_SORT_KEYS, default=str)
    if found != day or digest in seen:
        message = f"belongs to {found}" if found != day else "appears twice: pages overlap"
        raise StepFailed(f"{where}: a record {message}")
    seen.add(digest)
    who = {"usage_date": day, **who}
    activity = {column: _count(_at(metrics, path), ".".join(path), where) for path, column in ACTIVITY.items()}
    tools = write_json(record.get("tool_actions") or {})
    yield {**who, "usage_kind": "activity", **activity, "tool_actions": tools}
    for part in models:
        yield {**who, "usage_kind": "model", **_model(part, where)}


def _who(record: Mapping[str, Any]) -> dict[str, Any]:
    actor = record["actor"]
    return {
        "actor_type": actor["type"],
        "actor": actor.get("email_address") or actor["api_key_name"],
        "organization_id": record.get("organization_id"),
        "customer_type": record["customer_type"],
        "terminal_type": record.get("terminal_type"),
    }


def _model(part: Any, where: str) -> dict[str, Any]:
    try:
        tokens, cost = part["tokens"], part["estimated_cost"]
        counts = {column: _count(tokens.get(name), f"tokens.{name}", where) for name, column in TOKENS.items()}
        cents = Decimal(str(cost["amount"]))  # whole cents; a number with a point comes as Decimal or short float
        if not cents.is_finite() or cents < 0:
            raise InvalidOperation
        row = {
            "estimated_cost": cents.scaleb(-2),
            "currency": billed_currency(cost["currency"], where),
            "model": part["model"],
        }
    except (KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise StepFailed(f"{where}: a model without tokens or estimated_cost in cents ({error!r})") from error
    return {**row, **counts}


def _at(metrics: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        metrics = metrics.get(name) if isinstance(metrics, Mapping) else None
    return metrics


def _count(value: Any, name: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise StepFailed(f"{where}: {name} is {value!r}; a count must be a non-negative integer")
    return value


def get_engine() -> ClaudeCodeProcessor:
    """Return the processor."""
    return ClaudeCodeProcessor()
