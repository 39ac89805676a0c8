"""`azure_openai.cost`: what Azure charges for one account, by meter and day → `genai_billing_daily_raw`.

Source: Cost Management, Query - Usage: at most two groups and two sums, so the meters' units are queried separately;
further pages by POSTing the same body to nextLink. Billing, Billing Property - Get: which account pays for a
subscription.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from convergence.domain.money import EXACT, exact_text
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.azure_openai.api import AzureSettings, connect
from convergence.processors.base import TableProcessor
from convergence.processors.cloud.azure.query.pages import following, rows_of
from convergence.processors.genai.billed import billed_amount, billed_currency
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import Call
from convergence.processors.settings import settings

API_VERSION: Final = "2023-11-01"
ACCOUNT_API_VERSION: Final = "2020-05-01"
QUANTITY_DIGITS, PRICE_DIGITS = Decimal(1).scaleb(-6), Decimal(1).scaleb(-12)  # so that their product keeps every digit
_UNIT: Final = re.compile(r"(\d+)([KM]?)(?:/\w+)?")  # 1, 1K, 1M, 1K/Month
_SIZES: Final = {"": 1, "K": 1_000, "M": 1_000_000}


class AzureCostSettings(AzureSettings):
    """`cost_type`: as invoiced, or with reservations spread over their term.

    `billing_account_id`: who pays for the subscription; Azure is queried for it if it is not given.
    """

    billing_account_id: str = ""
    cost_type: Literal["ActualCost", "AmortizedCost"] = "ActualCost"


class AzureOpenAICostProcessor(TableProcessor):
    """Extracts one row for each day and meter."""

    config_model = AzureCostSettings
    fixed_table = "genai_billing_daily_raw"
    provider = "azure_openai"
    date_field = "usage_date"
    key_columns = ("usage_date", "provider", "account_id", "sub_account_id", "resource_id", "sku_id", "sku", "currency")

    def __init__(self) -> None:
        self._client: RestClient | None = None
        self._cost: dict[str, Decimal] = {}

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        options = settings(AzureCostSettings, step_config)
        self._client = client = await connect(context, options, "Azure Cost Management")
        account = await _account(client, options)
        units: dict[str, str] = {}
        async for page in self._query(client, options, context, ("MeterId", "UnitOfMeasure")):
            units.update((row["MeterId"], row["UnitOfMeasure"]) for row in page)
        async for page in self._query(client, options, context, ("Meter", "MeterId")):
            rows = _rows(page, options.resource_id, context, account, units)
            for row in rows:
                self._cost[row["currency"]] = EXACT.add(self._cost.get(row["currency"], Decimal(0)), row["cost"])
            yield rows

    async def _query(
        self, client: RestClient, options: AzureCostSettings, context: Context, groups: tuple[str, str]
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield pages of rows by day and `groups`."""
        path = f"{options.subscription}/providers/Microsoft.CostManagement/query"
        call = Call(path, (("api-version", API_VERSION),), "POST", _body(options, context, groups))
        columns = {"Cost", "UsageQuantity", "UsageDate", "Currency", *groups}
        async for answer, _ in client.walk(call, following, exact=True):
            yield rows_of(answer.data, columns)

    def outputs(self) -> Mapping[str, Any]:
        """Return the cost by currency, and how often a call was repeated."""
        assert self._client is not None, "outputs follow an extraction"
        cost = {currency: exact_text(total) for currency, total in self._cost.items()}
        return {"cost": cost, "http_calls": self._client.calls, "http_retries": self._client.retries}


async def _account(client: RestClient, options: AzureCostSettings) -> dict[str, str | None]:
    """Return id and name of the billing account.

    Raises `StepFailed` if Azure does not report it: agreements of the type Enterprise do not support the request.
    """
    if options.billing_account_id:
        return {"account_id": options.billing_account_id, "account_name": None}
    path = f"{options.subscription}/providers/Microsoft.Billing/billingProperty/default"
    try:
        answer = await client.get(path, (("api-version", ACCOUNT_API_VERSION),))
        found = answer["properties"]
        return {"account_id": str(found["billingAccountId"]), "account_name": found.get("billingAccountDisplayName")}
    except (StepFailed, KeyError, TypeError) as error:
        raise StepFailed(
            f"Azure does not say which billing account pays for {options.subscription} ({error}): set"
            " config.billing_account_id"
        ) from error


def _body(options: AzureCostSettings, context: Context, groups: tuple[str, str]) -> dict[str, Any]:
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
            "grouping": [{"type": "Dimension", "name": name} for name in groups],
            "filter": {"dimensions": {"name": "ResourceId", "operator": "In", "values": [options.resource_id]}},
        },
    }


def _rows(
    page: Sequence[Mapping[str, Any]],
    resource: str,
    context: Context,
    account: Mapping[str, str | None],
    units: Mapping[str, str],
) -> list[dict[str, Any]]:
    try:
        found = [{**_row(row, resource, units.get(row["MeterId"], "")), **account} for row in page]
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise StepFailed(f"Azure Cost Management: the answer has an unexpected shape ({error!r})") from error
    for row in found:
        if not context.start_date <= row["usage_date"] <= context.end_date:
            raise StepFailed(f"Azure Cost Management: {row['usage_date']} was not requested")
    return found


def _row(row: Mapping[str, Any], resource: str, unit: str) -> dict[str, Any]:
    day: date = datetime.strptime(str(int(row["UsageDate"])), "%Y%m%d").replace(tzinfo=UTC).date()
    where = f"Azure Cost Management of {day}"
    quantity, cost = Decimal(str(row["UsageQuantity"])), billed_amount(row["Cost"], where)
    return {
        "usage_date": day,
        "provider": AzureOpenAICostProcessor.provider,
        "sub_account_id": resource.split("/")[2],
        "resource_id": resource,
        "resource_name": resource.rpartition("/")[2],
        "resource_type": "Microsoft.CognitiveServices/accounts",
        "service": "Azure OpenAI",
        "sku_id": row["MeterId"],
        "sku": row["Meter"],
        "quantity": quantity,
        "unit": unit or None,
        "cost": cost,
        "currency": billed_currency(row["Currency"], where),
        **_priced(quantity, cost, unit),
    }


def _priced(quantity: Decimal, cost: Decimal, unit: str) -> dict[str, Any]:
    """Return quantities in FOCUS units and the unit price that the bill has; nothing where there is no unit.

    The query has no list price, so the price charged is assumed to be the list price.
    """
    size = _UNIT.fullmatch(unit.replace(" ", ""))
    if size is None or quantity <= 0 or cost < 0:
        return {}
    block = int(size[1]) * _SIZES[size[2]]
    priced = (quantity / block).quantize(QUANTITY_DIGITS, context=EXACT)
    if not priced:
        return {}
    price = (cost / priced).quantize(PRICE_DIGITS, context=EXACT)
    product = EXACT.multiply(priced, price)
    return {
        "pricing_quantity": priced,
        "pricing_unit": "Units" if block == 1 else f"{block} Units",
        "consumed_quantity": quantity,
        "consumed_unit": "Units",
        "list_unit_price": price,
        "contracted_unit_price": price,
        "list_cost": product,
        "contracted_cost": product,
    }


def get_engine() -> AzureOpenAICostProcessor:
    """Return the processor."""
    return AzureOpenAICostProcessor()
