"""`azure_openai.cost`: what Azure charges for one account, by meter and day → `genai_billing_daily_raw`.

Source: Cost Management, Query - Usage. At most two groups and two sums, so the unit of a meter is not returned; pages
by POSTing the same body to nextLink.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

import httpx

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.azure_openai.api import AzureSettings, connect
from convergence.processors.base import TableProcessor
from convergence.processors.genai.billed import billed_amount, billed_currency
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import Answer, Call
from convergence.processors.settings import settings

API_VERSION: Final = "2023-11-01"
COLUMNS: Final = ("Cost", "UsageQuantity", "UsageDate", "Meter", "MeterId", "Currency")


class AzureCostSettings(AzureSettings):
    """`cost_type`: as invoiced, or with reservations spread over their term."""

    cost_type: Literal["ActualCost", "AmortizedCost"] = "ActualCost"


class AzureOpenAICostProcessor(TableProcessor):
    """Extracts one row for each day and meter."""

    config_model = AzureCostSettings
    fixed_table = "genai_billing_daily_raw"
    date_field = "usage_date"

    def __init__(self) -> None:
        self._client: RestClient | None = None
        self._cost: dict[str, Decimal] = {}

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        options = settings(AzureCostSettings, step_config)
        self._client = client = await connect(context, options, "Azure Cost Management")
        path = f"{options.subscription}/providers/Microsoft.CostManagement/query"
        call = Call(path, (("api-version", API_VERSION),), "POST", _body(options, context))
        async for answer, _ in client.walk(call, _following, exact=True):
            rows = _rows(answer.data, options.resource_id, context)
            for row in rows:
                self._cost[row["currency"]] = self._cost.get(row["currency"], Decimal(0)) + row["cost"]
            yield rows

    def outputs(self) -> Mapping[str, Any]:
        """Return the cost by currency, and how often a call was repeated."""
        assert self._client is not None, "outputs follow an extraction"
        cost = {currency: f"{total.normalize():f}" for currency, total in self._cost.items()}
        return {"cost": cost, "http_calls": self._client.calls, "http_retries": self._client.retries}


def _body(options: AzureCostSettings, context: Context) -> dict[str, Any]:
    return {
        "type": options.cost_type,
        "timeframe": "Custom",
        "timePeriod": {  # both days are included
            "from": f"{context.start_date.isoformat()}T00:00:00Z",
            "to": f"{context.end_date.isoformat()}T23:59:59Z",
        },
        "dataset": {
            "granularity": "Daily",
            "aggregation": {
                "totalCost": {"name": "Cost", "function": "Sum"},
                "usage": {"name": "UsageQuantity", "function": "Sum"},
            },
            "grouping": [{"type": "Dimension", "name": "Meter"}, {"type": "Dimension", "name": "MeterId"}],
            "filter": {"dimensions": {"name": "ResourceId", "operator": "In", "values": [options.resource_id]}},
        },
    }


def _following(answer: Answer, call: Call) -> Call | None:
    link = (answer.data.get("properties") or {}).get("nextLink") if isinstance(answer.data, dict) else None
    if not link:
        return None
    url = httpx.URL(str(link))
    return Call(str(url.copy_with(query=None)), tuple(url.params.multi_items()), call.method, call.body)


def _rows(answer: Any, resource: str, context: Context) -> list[dict[str, Any]]:
    try:
        names = [column["name"] for column in answer["properties"]["columns"]]
        if missing := sorted(set(COLUMNS) - set(names)):
            raise StepFailed(f"Azure Cost Management: the answer has no column {missing[0]!r}")
        found = [_row(dict(zip(names, row, strict=True)), resource) for row in answer["properties"]["rows"]]
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise StepFailed(f"Azure Cost Management: the answer has an unexpected shape ({error!r})") from error
    for row in found:
        if not context.start_date <= row["usage_date"] <= context.end_date:
            raise StepFailed(f"Azure Cost Management: {row['usage_date']} was not requested")
    return found


def _row(row: Mapping[str, Any], resource: str) -> dict[str, Any]:
    day: date = datetime.strptime(str(int(row["UsageDate"])), "%Y%m%d").replace(tzinfo=UTC).date()
    where = f"Azure Cost Management of {day}"
    return {
        "usage_date": day,
        "provider": "azure_openai",
        "account_id": resource.split("/")[2],
        "sub_account_id": resource,
        "service": "Azure OpenAI",
        "sku_id": row["MeterId"],
        "sku": row["Meter"],
        "quantity": Decimal(str(row["UsageQuantity"])),
        "cost": billed_amount(row["Cost"], where),
        "currency": billed_currency(row["Currency"], where),
    }


def get_engine() -> AzureOpenAICostProcessor:
    """Return the processor."""
    return AzureOpenAICostProcessor()
