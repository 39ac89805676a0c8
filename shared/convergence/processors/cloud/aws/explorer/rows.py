"""Groups of Cost Explorer as rows of `cloud_aws_billing_raw_daily`; what it does not provide stays null."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any, Final, Literal

import orjson

from convergence.errors import StepFailed
from convergence.ports.warehouse import Row
from convergence.processors.base import row_id
from convergence.processors.cloud.aws.explorer.amounts import NO_UNIT
from convergence.processors.cloud.aws.explorer.kinds import category_of, kind_of
from convergence.processors.cloud.aws.explorer.query import COST, EFFECTIVE, QUANTITY, Group
from convergence.processors.cloud.months import next_month
from convergence.processors.genai.currency import CURRENCIES

SOURCE_FORMAT: Final = "aws_cost_explorer"
Detail = Literal["usage_type", "linked_account"]
# What distinguishes the groups of a month: the description has the usage type.
KEY: Final = (
    *("BillingAccountId", "SubAccountId", "ChargePeriodStart", "line_type", "product_code", "ChargeDescription"),
    "BillingCurrency",
)


def row_of(
    group: Group, record_type: str, detail: Detail, account: str, currencies: frozenset[str], member: str | None = None
) -> Row:
    """Return the row of a group of the keys SERVICE and `detail`.

    `account` was queried; `member` is the only account whose charges it has, None where there are several.
    `currencies`: those that the bill may be in; empty: any. Raises `StepFailed` for another one, or one that is not in
    ISO 4217.
    """
    service, second = group.keys
    cost, quantity = group.amounts[COST], group.amounts[QUANTITY]
    if cost.unit not in CURRENCIES or (currencies and cost.unit not in currencies):
        allowed = f" (currencies: {', '.join(sorted(currencies))})" if currencies else ""
        raise StepFailed(
            f"Cost Explorer: {service} is billed in {cost.unit[:12]!r} on {group.day}, a currency that the bill may"
            f" not have{allowed}; nothing was loaded"
        )
    kind = kind_of(record_type)
    counted = kind.category == "Usage" and quantity.unit not in NO_UNIT
    others: dict[str, Any] = {"x_Estimated": group.estimated}
    if detail == "usage_type":
        others["x_UsageType"] = second
    found = {
        "BilledCost": cost.number,
        "EffectiveCost": group.amounts[EFFECTIVE].number,
        "BillingAccountId": account,
        "BillingCurrency": cost.unit,
        "BillingPeriodStart": _midnight(group.day.replace(day=1)),
        "BillingPeriodEnd": _midnight(next_month(group.day)),
        "ChargePeriodStart": _midnight(group.day),
        "ChargePeriodEnd": _midnight(group.end),
        "ChargeCategory": kind.category,
        "ChargeFrequency": kind.frequency,
        "ChargeDescription": f"{service}: {second}" if detail == "usage_type" else service,
        "PricingCategory": kind.pricing,
        "ConsumedQuantity": quantity.number if counted else None,
        "ConsumedUnit": quantity.unit if counted else None,
        "ServiceName": service,
        "ServiceCategory": category_of(service),
        "SubAccountId": second if detail == "linked_account" else member,
        "source_format": SOURCE_FORMAT,
        "line_type": record_type,
        "product_code": service,
        "other_fields": orjson.dumps(others, option=orjson.OPT_SORT_KEYS).decode(),
        "source_file": "GetCostAndUsage",
    }
    return {**found, "row_id": row_id(found, KEY)}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
