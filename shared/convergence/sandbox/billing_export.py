"""The detailed billing export of the sandbox's project: what `gcp.bq_etl` reads of it.

All amounts are assumed. Every day has the kinds of rows that are easily mishandled without notice: discounts and grants
as credits, rows that a credit takes to zero, usage without a price, a correction that is exported two days late, and at
a month's edge usage on the neighbouring month's invoice, taxes without a project and a rounding row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zlib import crc32

from convergence.sandbox import google

TABLE: Final = f"{google.PROJECT}.billing.gcp_billing_export_resource_v1_000000_111111_222222"
_LATE_DAYS: Final = 2
_TEXTS: Final = (
    *("billing_account_id", "invoice_month", "cost_type", "service_id", "service_description", "sku_id"),
    *("sku_description", "project_id", "project_number", "project_name", "location", "country", "region", "zone"),
    *("resource_name", "resource_global_name", "usage_unit", "pricing_unit", "currency", "adjustment_id"),
    *("adjustment_description", "adjustment_mode", "adjustment_type", "transaction_type", "seller_name"),
)
_PRICES: Final = ("list_price", "effective_price", "tier_start_amount", "pricing_unit_quantity")
_AMOUNTS: Final = (
    *("usage_amount", "usage_amount_in_pricing_units", "cost", "cost_at_list", "currency_conversion_rate"),
)
_PAIR: Final = ("key", "value")
NESTED: Final[dict[str, tuple[str, ...]]] = {
    "project_labels": _PAIR,
    "labels": _PAIR,
    "system_labels": _PAIR,
    "tags": (*_PAIR, "inherited", "namespace"),
    "credits": ("id", "name", "full_name", "type", "amount"),
}
TYPES: Final[dict[str, str]] = {
    "usage_date": "DATE",
    **dict.fromkeys(_TEXTS, "STRING"),
    **dict.fromkeys(("usage_start_time", "usage_end_time", "export_time"), "TIMESTAMP"),
    **dict.fromkeys(_PRICES, "NUMERIC"),
    **dict.fromkeys(_AMOUNTS, "BIGNUMERIC"),
}
_INNER: Final = {"inherited": "BOOLEAN", "amount": "BIGNUMERIC"}

Line = dict[str, Any]


def fields() -> list[dict[str, Any]]:
    """Return the columns of the result as the API describes them."""
    inner = {
        name: [{"name": each, "type": _INNER.get(each, "STRING")} for each in names] for name, names in NESTED.items()
    }
    nested = [{"name": name, "type": "RECORD", "mode": "REPEATED", "fields": each} for name, each in inner.items()]
    return [*({"name": name, "type": kind} for name, kind in TYPES.items()), *nested]


def rows(first: date, last: date, exported_from: datetime, exported_until: datetime) -> list[Line]:
    """Return whole groups: with usage on these days, or with a row that was exported in this time."""
    span = (last - first).days
    around = [first + timedelta(days=number) for number in range(-40, span + 41)]
    lines = [line for day in around for line in of_day(day)]
    changed = {
        group(line)
        for line in lines
        if first <= line["usage_date"] <= last or exported_from <= line["export_time"] < exported_until
    }
    return [line for line in lines if group(line) in changed]


def group(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what is replaced together."""
    return line["billing_account_id"], line["invoice_month"], line["usage_date"]


def of_day(day: date) -> list[Line]:
    """Return all rows of one day's usage, whenever they are exported."""
    number = Decimal(day.toordinal() % 7 + 1)
    core, ram = Decimal("0.0316109") * number, Decimal("0.0042370") * number
    lines = [
        _usage(day, "Compute Engine", "N2 Instance Core in Frankfurt", core, 9, ("SUSTAINED_USAGE_DISCOUNT", 5)),
        _usage(day, "Compute Engine", "N2 Instance Ram in Frankfurt", ram, 9, ("COMMITTED_USAGE_DISCOUNT", 4)),
        _usage(day, "Cloud Storage", "Standard Storage Europe Multi-region", Decimal("0.02"), 3, ("FREE_TIER", 1)),
        _usage(day, "BigQuery", "Analysis (eu)", Decimal("6.25") * number, 10, ("PROMOTION", 10)),
        _usage(day, "Cloud SQL", "Zonal vCPU", Decimal("0.0413"), 24, ("RESELLER_MARGIN", 20), ("DISCOUNT", 10)),
        _line(day, "adjustment", Decimal("-0.37"), late=_LATE_DAYS, adjustment_id=f"adj-{day:%Y%m%d}",
              adjustment_description="Correction of a meter", adjustment_mode="MANUAL_ADJUSTMENT",
              adjustment_type="USAGE_CORRECTION", service_description="Cloud SQL", sku_description="Zonal vCPU"),
    ]  # fmt: skip
    if (day + timedelta(days=1)).day == 1:
        # In Pacific time the last hours of the UTC month still belong to it, so the first hours of the next one do not.
        lines.append(_usage(day, "Networking", "Egress", Decimal("0.085"), 2, month=day + timedelta(days=1)))
    if day.day == 1:
        lines.append(
            _line(day, "tax", Decimal("1.234567"), late=3, service_description="Invoice", sku_description="Tax")
        )
        lines.append(_line(day, "rounding_error", Decimal("-0.000433"), late=3, service_description="Invoice",
                           sku_description="Rounding error"))  # fmt: skip
    return lines


def _usage(
    day: date,
    service: str,
    sku: str,
    price: Decimal,
    quantity: int,
    *credits_: tuple[str, int],
    month: date | None = None,
) -> Line:
    """A charge with a price; of each credit `1/n` of the cost is taken off."""
    cost = price * quantity
    taken = [
        {
            "id": kind.lower(),
            "name": kind.title(),
            "full_name": kind.title(),
            "type": kind,
            "amount": f"{-cost / part:f}",
        }
        for kind, part in credits_
    ]
    priced: Line = {"usage_amount": f"{quantity * 3600}", "usage_unit": "seconds", "pricing_unit": "hour",
              "usage_amount_in_pricing_units": f"{quantity}", "list_price": f"{price:f}",
              "effective_price": f"{price:f}", "tier_start_amount": "0", "pricing_unit_quantity": "1",
              "cost_at_list": f"{cost:f}", "credits": taken}  # fmt: skip
    named = sku.replace(" ", "-").lower()
    where: Line = {"project_id": google.PROJECT, "project_number": "1234567890", "project_name": "Sandbox",
             "labels": [{"key": "team", "value": "search"}, {"key": "spot", "value": ""}],
             "location": google.REGION, "country": "DE", "region": google.REGION, "zone": f"{google.REGION}-b",
             "resource_name": named, "resource_global_name": f"//example.googleapis.com/{named}"}  # fmt: skip
    return _line(day, "regular", cost, service_description=service, sku_description=sku, month=month, **priced, **where)


def _line(day: date, kind: str, cost: Decimal, *, late: int = 1, month: date | None = None, **more: Any) -> Line:
    start = datetime.combine(day, time(), UTC)
    known: Line = {
        **dict.fromkeys(TYPES),
        **{name: [] for name in NESTED},
        "usage_date": day,
        "usage_start_time": start,
        "usage_end_time": start + timedelta(days=1),
        "export_time": start + timedelta(days=late, hours=3),
        "billing_account_id": google.ACCOUNT,
        "invoice_month": f"{month or day:%Y%m}",
        "cost_type": kind,
        "cost": f"{cost:f}",
        "currency": "USD",
        "currency_conversion_rate": "1",
        "transaction_type": "GOOGLE",
        "seller_name": "Google",
    }
    found = {**known, **more}
    return {**found, "service_id": _id(found["service_description"]), "sku_id": _id(found["sku_description"])}


def _id(name: str) -> str:
    """Return an id as Google forms them: three groups of four digits."""
    digits = f"{crc32(name.encode()):012X}"
    return "-".join(digits[at : at + 4] for at in (0, 4, 8))
