"""`openai.usage`: what the organization used, per day → `openai_usage_daily_raw`. All endpoints, one table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.errors import PageNotFound, StepFailed
from convergence.ports.http.json_text import write_json
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.http.client import RestClient
from convergence.processors.openai.api import ACCOUNT, ApiSettings, connect, daily
from convergence.processors.openai.charges import METRICS
from convergence.processors.settings import settings

_WHO: Final = ("project_id", "user_id", "api_key_id")

# Endpoint below /organization/usage → what it can be grouped by.
ENDPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "completions": (*_WHO, "model", "batch", "service_tier"),
    "embeddings": (*_WHO, "model"),
    "moderations": (*_WHO, "model"),
    "decisions": (*_WHO, "model", "batch", "service_tier"),
    "images": (*_WHO, "model", "size", "source"),
    "audio_speeches": (*_WHO, "model"),
    "audio_transcriptions": (*_WHO, "model"),
    "vector_stores": ("project_id",),
    "code_interpreter_sessions": ("project_id",),
    "file_search_calls": (*_WHO, "vector_store_id"),
    "web_search_calls": (*_WHO, "model", "context_level"),
}
# Endpoints in public beta: an organization without access to them has no usage of them either.
BETA: Final = frozenset({"decisions"})
RENAMED: Final = {"size": "image_size", "source": "image_source"}
# Fields of a result that have a column; what the API adds later is kept in `other_fields`.
FIELDS: Final = frozenset(
    {
        *(name for names in ENDPOINTS.values() for name in names),
        "input_tokens",
        "input_cached_tokens",
        "input_cache_write_tokens",
        "input_cache_write_12h_tokens",
        "input_uncached_tokens",
        "input_text_tokens",
        "input_cached_text_tokens",
        "input_audio_tokens",
        "input_cached_audio_tokens",
        "input_image_tokens",
        "input_cached_image_tokens",
        "output_tokens",
        "output_text_tokens",
        "output_audio_tokens",
        "output_image_tokens",
        "images",
        "characters",
        "seconds",
        "usage_bytes",
        "num_sessions",
        "num_requests",
        "num_model_requests",
    }
)


# Counts that each result has (OpenAPI document 2.3.0), beside those of METRICS.
REQUIRED: Final = {
    "completions": ("input_tokens", "output_tokens"),
    "embeddings": ("input_tokens",),
    "moderations": ("input_tokens",),
}
KEY: Final = (
    "usage_date",
    "usage_kind",
    *dict.fromkeys(RENAMED.get(name, name) for names in ENDPOINTS.values() for name in names),
)


class UsageSettings(ApiSettings):
    """`kinds`: the endpoints to query; all by default."""

    kinds: tuple[str, ...] = tuple(ENDPOINTS)


class UsageProcessor(TableProcessor):
    """Extracts the usage of all dates of the run."""

    config_model = UsageSettings
    fixed_table = "openai_usage_daily_raw"
    date_field = "usage_date"
    key_columns = KEY

    def __init__(self) -> None:
        self._client: RestClient | None = None
        self._rows: dict[str, int] = {}
        self._warnings: list[str] = []

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page of one endpoint after the other."""
        options = settings(UsageSettings, step_config)
        self._client = client = await connect(context, options)
        for kind in options.kinds:
            if kind not in ENDPOINTS:
                raise StepFailed(f"config.kinds: there is no usage of kind {kind!r}. Known: {', '.join(ENDPOINTS)}.")
            self._rows[kind] = 0
            pages = daily(
                client,
                f"/organization/usage/{kind}",
                context,
                group_by=ENDPOINTS[kind],
                page_days=options.page_days,
            )
            try:
                async for page in pages:
                    account = {"account_id": client.answered.get(ACCOUNT)}
                    rows = [{**_row(kind, day, result), **account} for day, result in page]
                    self._rows[kind] += len(rows)
                    yield rows
            except PageNotFound as error:
                if kind not in BETA:
                    raise
                self._warnings.append(f"usage of kind {kind} was not read: {error}")

    def outputs(self) -> Mapping[str, Any]:
        """Return how many rows each endpoint gave and how often a call was repeated."""
        assert self._client is not None, "outputs follow an extraction"
        return {
            "rows_by_kind": self._rows,
            "http_calls": self._client.calls,
            "http_retries": self._client.retries,
            "warnings": self._warnings,
        }


def _row(kind: str, day: date, result: Mapping[str, Any]) -> Row:
    row: dict[str, Any] = {"usage_date": day, "usage_kind": kind}
    others: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, int | float | Decimal) and (value < 0 or (name in FIELDS and value % 1)):
            raise StepFailed(
                f"OpenAI usage of {kind} on {day}: {name} is {value}; a count must be a non-negative integer"
            )
        if name in FIELDS:
            row[RENAMED.get(name, name)] = value
        elif name != "object" and value is not None:
            others[name] = value
    for name in REQUIRED.get(kind, (METRICS[kind][0],) if kind in METRICS else ()):
        if row.get(name) is None:
            raise StepFailed(f"OpenAI usage of {kind} on {day}: a result without {name}: {str(dict(result))[:200]}")
    if others:
        row["other_fields"] = write_json(others)
    return row


def get_engine() -> UsageProcessor:
    """Return the processor."""
    return UsageProcessor()
