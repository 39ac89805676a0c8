"""Answers of Cost Management as rows of `cloud_azure_billing_raw_daily`; what it does not provide stays null."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Literal

import orjson

from convergence.domain.money import EXACT
from convergence.errors import StepFailed
from convergence.ports.warehouse import Row
from convergence.processors.base import row_id
from convergence.processors.cloud.azure.query.scope import subscription_of
from convergence.processors.cloud.months import next_month
from convergence.processors.genai.billed import billed_amount, billed_currency

SOURCE_FORMAT: Final = "azure_query"
Detail = Literal["meter", "subscription", "resource_group", "resource_type", "region"]
DIMENSIONS: Final[Mapping[Detail, str]] = {
    "meter": "Meter",
    "subscription": "SubscriptionId",
    "resource_group": "ResourceGroupName",
    "resource_type": "ResourceType",
    "region": "ResourceLocation",
}
# What distinguishes the rows of a month: source_file is the scope, and the description has what they are grouped by.
KEY: Final = (
    *("source_file", "BillingAccountId", "SubAccountId", "RegionId", "ChargePeriodStart", "line_type", "product_code"),
    *("ChargeDescription", "BillingCurrency"),
)
_COLUMNS: Final[Mapping[Detail, str]] = {"subscription": "SubAccountId", "region": "RegionId"}
_OTHERS: Final[Mapping[Detail, str]] = {
    "meter": "x_Meter",
    "resource_group": "x_ResourceGroupName",
    "resource_type": "x_ResourceType",
}
_DIGITS: Final = Decimal(1).scaleb(-18)  # Azure computes in floats; this many places are kept, as for the exports


def day_of(row: Mapping[str, Any], first: date, end: date) -> date:
    """Return the day of a row: UsageDate is a number, 20261119. Raises `StepFailed` for one that was not requested."""
    found = datetime.strptime(str(int(row["UsageDate"])), "%Y%m%d").replace(tzinfo=UTC).date()
    if not first <= found < end:
        raise StepFailed(f"Azure Cost Management: {found} was not requested; nothing was loaded")
    return found


def cost_of(row: Mapping[str, Any], day: date) -> Decimal:
    """Return the cost of a row. Raises `StepFailed` for what is not a number."""
    cost = billed_amount(row["Cost"], f"Azure Cost Management of {day}")
    return cost.quantize(_DIGITS, rounding=ROUND_HALF_EVEN, context=EXACT)


def row_of(
    row: Mapping[str, Any],
    day: date,
    charge_type: str,
    detail: Detail,
    scope: str,
    account: str,
    currencies: frozenset[str],
) -> Row:
    """Return the row of the dimensions MeterCategory and `detail`.

    `currencies`: those that the bill may be in; empty: any. Raises `StepFailed` for another one.
    """
    currency = billed_currency(row["Currency"], f"Azure Cost Management of {day}")
    if currencies and currency not in currencies:
        raise StepFailed(
            f"Azure Cost Management: {day} is billed in {currency} (currencies: {', '.join(sorted(currencies))});"
            " nothing was loaded"
        )
    service, second = str(row["MeterCategory"] or ""), str(row[DIMENSIONS[detail]] or "") or None
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    others = {_OTHERS[detail]: second} if detail in _OTHERS and second else {}
    facts = {_COLUMNS[detail]: second} if detail in _COLUMNS else {}
    found = {
        "BilledCost": cost_of(row, day),
        "BillingAccountId": account,
        "BillingCurrency": currency,
        "BillingPeriodStart": start.replace(day=1),
        "BillingPeriodEnd": datetime.combine(next_month(day), start.timetz()),
        "ChargePeriodStart": start,
        "ChargePeriodEnd": start + timedelta(days=1),
        "ChargeDescription": ": ".join(filter(None, (service, second))) or charge_type,
        "ServiceName": service or None,
        "SubAccountId": subscription_of(scope),
        **facts,
        "source_format": SOURCE_FORMAT,
        "line_type": charge_type,
        "product_code": service or None,
        "other_fields": orjson.dumps(others).decode() if others else None,
        "source_file": scope,
    }
    return {**found, "row_id": row_id(found, KEY)}
