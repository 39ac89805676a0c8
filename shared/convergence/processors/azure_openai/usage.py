"""`azure_openai.usage`: tokens and requests by deployment and day from Azure Monitor → `genai_metrics_daily_raw`.

Metrics of Microsoft.CognitiveServices/accounts are by deployment and model, without keys or prices. Source: Azure
Monitor REST API, Metrics - List; learn.microsoft.com, monitor-openai-reference. Kept by the provider for 93 days.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.azure_openai.api import AzureSettings, connect
from convergence.processors.base import TableProcessor
from convergence.processors.settings import settings

API_VERSION: Final = "2023-10-01"
METRICS: Final = {  # metric → (what it counts, unit)
    "ProcessedPromptTokens": ("input tokens", "Tokens"),
    "GeneratedTokens": ("output tokens", "Tokens"),
    "AzureOpenAIRequests": ("requests", "Requests"),
}
SERIES_MAX: Final = 1000  # requested explicitly: otherwise the API returns ten and does not mention the rest
KEPT_DAYS: Final = 93


class AzureUsageSettings(AzureSettings):
    """`kept_days`: how far back metrics are kept; more than 93 are for a stand-in."""

    kept_days: int = Field(default=KEPT_DAYS, ge=1, le=3_660)


class AzureOpenAIUsageProcessor(TableProcessor):
    """Extracts one sum for each day, deployment and metric."""

    config_model = AzureUsageSettings
    fixed_table = "genai_metrics_daily_raw"
    provider = "azure_openai"
    date_field = "usage_date"

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield the rows of one metric after the other. Raises `StepFailed` for days that are no longer kept."""
        options = settings(AzureUsageSettings, step_config)
        if (context.now().date() - context.start_date).days > options.kept_days:
            raise StepFailed(
                f"Azure Monitor keeps {options.kept_days} days; it no longer has data for {context.start_date}"
            )
        client = await connect(context, options, "Azure Monitor")
        end = context.end_date + timedelta(days=1)
        for metric in METRICS:
            params = [
                ("api-version", API_VERSION),
                ("metricnames", metric),
                ("timespan", f"{context.start_date.isoformat()}T00:00:00Z/{end.isoformat()}T00:00:00Z"),
                ("interval", "P1D"),
                ("aggregation", "Total"),
                ("$filter", "ModelDeploymentName eq '*' and ModelName eq '*'"),
                ("top", str(SERIES_MAX)),
            ]
            answer = await client.get(f"{options.resource_id}/providers/Microsoft.Insights/metrics", params)
            yield _rows(answer, metric, options.resource_id, context)


def _rows(answer: Any, metric: str, resource: str, context: Context) -> list[Row]:
    what, unit = METRICS[metric]
    where = f"Azure Monitor: {metric}"
    try:
        (found,) = answer["value"]
        if found.get("errorCode", "Success") != "Success":
            raise StepFailed(f"{where}: {found['errorCode']} ({found.get('errorMessage', 'no reason given')})")
        if len(found["timeseries"]) >= SERIES_MAX:
            raise StepFailed(f"{where} has {SERIES_MAX} series or more: the rest would be missing")
        points = [
            ({one["name"]["value"].lower(): one["value"] for one in series["metadatavalues"]}, point)
            for series in found["timeseries"]
            for point in series["data"]
            if point.get("total") is not None
        ]
        return [_row(labels, point, where, context) | {"sku": what, "unit": unit, "account_id": resource}
                for labels, point in points if point["total"]]  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StepFailed(f"{where}: the answer has an unexpected shape ({error!r})") from error


def _row(labels: Mapping[str, str], point: Mapping[str, Any], where: str, context: Context) -> dict[str, Any]:
    day, total = datetime.fromisoformat(point["timeStamp"]).date(), point["total"]
    if not isinstance(total, int | float | Decimal) or isinstance(total, bool) or total < 0 or total != int(total):
        raise StepFailed(f"{where}: {total!r} on {day} is not a count")
    if not context.start_date <= day <= context.end_date:
        raise StepFailed(f"{where}: {day} was not requested")
    return {
        "usage_date": day,
        "provider": AzureOpenAIUsageProcessor.provider,
        "sub_account_id": labels.get("modeldeploymentname"),
        "model": labels.get("modelname"),
        "quantity": int(total),
    }


def get_engine() -> AzureOpenAIUsageProcessor:
    """Return the processor."""
    return AzureOpenAIUsageProcessor()
