"""What the reports of Anthropic's Admin API have in common: pages of days, a row for each result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.anthropic.api import ACCOUNT, ApiSettings, connect, daily
from convergence.processors.base import TableProcessor
from convergence.processors.http.client import RestClient
from convergence.processors.settings import settings


class ReportProcessor(TableProcessor):
    """Extracts one report for all dates of the run; a subclass defines which one, and how a result becomes a row."""

    config_model = ApiSettings
    date_field = "usage_date"
    path: ClassVar[str]
    group_by: ClassVar[Sequence[str]]
    beta: ClassVar[str] = ""

    def __init__(self) -> None:
        self._client: RestClient | None = None

    @abstractmethod
    def row(self, day: date, result: Mapping[str, Any]) -> Row:
        """Return the row of one result. Raises `StepFailed` for figures that are not numbers."""

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        options = settings(ApiSettings, step_config)
        self._client = client = await connect(context, options, beta=self.beta)
        async for page in daily(client, self.path, context, group_by=self.group_by, page_days=options.page_days):
            account = {"account_id": client.answered.get(ACCOUNT)} if self.key_columns else {}
            yield [{**self.row(day, result), **account} for day, result in page]

    def outputs(self) -> Mapping[str, Any]:
        """Return how often calls were retried."""
        assert self._client is not None, "outputs follow an extraction"
        return {"http_calls": self._client.calls, "http_retries": self._client.retries}
