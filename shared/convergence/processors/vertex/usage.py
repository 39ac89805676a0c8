"""`vertex.usage`: tokens by model and day from Cloud Monitoring → `genai_metrics_daily_raw`.

The metric publisher/online_serving/token_count (DELTA, label `type`) has neither users nor prices; cost is in the
billing export. Source: Cloud Monitoring API v3, projects.timeSeries.list.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import cursor_paging
from convergence.processors.settings import CredentialSettings, settings

BASE_URL: Final = "https://monitoring.googleapis.com/v3"
SCOPE: Final = "https://www.googleapis.com/auth/monitoring.read"
METRIC: Final = "aiplatform.googleapis.com/publisher/online_serving/token_count"
RENEW: Final = "Give the service account the role Monitoring Viewer, then replay."


class VertexSettings(CredentialSettings):
    """`project`: whose calls are counted."""

    project: str
    api_base_url: str = BASE_URL
    secret: str = "gcp"  # noqa: S105 - the name of a secret


async def connect(context: Context, options: VertexSettings) -> RestClient:
    """Return a client of Cloud Monitoring that sends a token of the run's service account."""
    token = await context.accounts.token(await context.secrets.open(options.secret), (SCOPE,))
    headers = {"authorization": f"Bearer {token}"}
    return RestClient(context, options.api_base_url, headers=headers, service="Cloud Monitoring", renew=RENEW)


class VertexUsageProcessor(TableProcessor):
    """Extracts one sum for each day, model and type of token."""

    config_model = VertexSettings
    fixed_table = "genai_metrics_daily_raw"
    provider = "vertex"
    date_field = "usage_date"

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        options = settings(VertexSettings, step_config)
        client = await connect(context, options)
        params = [
            ("filter", f'metric.type = "{METRIC}"'),
            ("interval.startTime", f"{context.start_date.isoformat()}T00:00:00Z"),
            ("interval.endTime", f"{(context.end_date + timedelta(days=1)).isoformat()}T00:00:00Z"),
            ("aggregation.alignmentPeriod", "86400s"),
            ("aggregation.perSeriesAligner", "ALIGN_SUM"),
            ("aggregation.crossSeriesReducer", "REDUCE_SUM"),
            ("aggregation.groupByFields", "resource.label.model_user_id"),
            ("aggregation.groupByFields", "metric.label.type"),
        ]
        path = f"/projects/{quote(options.project, safe='')}/timeSeries"
        paging = cursor_paging(param="pageToken", cursor="nextPageToken", more="nextPageToken")
        async for page in client.pages(path, params, paging=paging):
            if page.get("executionErrors"):
                raise StepFailed("Cloud Monitoring could not read all of its data: the sums would be too small")
            yield [row for series in page.get("timeSeries") or () for row in _rows(series, options.project, context)]


def _rows(series: Any, project: str, context: Context) -> list[Row]:
    try:
        model, kind = series["resource"]["labels"]["model_user_id"], series["metric"]["labels"]["type"]
        points = [(_day(point["interval"]["endTime"]), int(point["value"]["int64Value"])) for point in series["points"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StepFailed(
            f"Cloud Monitoring: a series without model, type or whole-numbered points ({error!r})"
        ) from error
    for day, tokens in points:
        if tokens < 0 or not context.start_date <= day <= context.end_date:
            raise StepFailed(f"Cloud Monitoring: {model} has {tokens} {kind} tokens on {day}, which is impossible")
    return [
        {
            "usage_date": day,
            "provider": VertexUsageProcessor.provider,
            "sub_account_id": project,
            "model": model,
            "sku": f"{kind} tokens",
            "quantity": tokens,
            "unit": "Tokens",
        }
        for day, tokens in points
    ]


def _day(end: str) -> date:
    return (datetime.fromisoformat(end).astimezone(UTC) - timedelta(seconds=1)).date()


def get_engine() -> VertexUsageProcessor:
    """Return the processor."""
    return VertexUsageProcessor()
