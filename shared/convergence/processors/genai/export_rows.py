"""Converts a service's rows of the billing export: quantities by SKU, or their cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal

import orjson

from convergence.domain.money import EXACT, exact_text
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.gcp.billing_export import ExportSettings, Record, pages
from convergence.processors.genai.billed import billed_currency
from convergence.processors.genai.charge import PRICE_DIGITS, QUANTITY_DIGITS
from convergence.processors.genai.focus_units import focus_unit
from convergence.processors.settings import settings

KEY: Final = (
    *("usage_date", "provider", "account_id", "sub_account_id", "service", "sku_id", "unit", "currency", "cost_type"),
    *("invoice_month", "region", "tags", "resource_id", "list_unit_price", "contracted_unit_price", "grant_names"),
)


class ExportProcessor(TableProcessor):
    """Extracts a provider's rows of all dates into `genai_metrics_daily_raw` or `genai_billing_daily_raw`."""

    config_model = ExportSettings
    date_field = "usage_date"
    services: ClassVar[tuple[str, ...]]  # as the export calls them
    part: ClassVar[Literal["usage", "cost"]]

    def __init__(self) -> None:
        self.key_columns = KEY if self.part == "cost" else ()
        self._cost: dict[str, Decimal] = {}

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield one page after the other."""
        options = settings(ExportSettings, step_config)
        read = pages(options, options.services or self.services, context)
        async with aclosing(read):
            async for page in read:
                yield [self._row(record) for record in page]

    def outputs(self) -> Mapping[str, Any]:
        """Return the cost by currency."""
        return {"cost": {currency: exact_text(total) for currency, total in self._cost.items()}}

    def _row(self, record: Record) -> Row:
        names = {"usage_date": record["usage_date"], "provider": self.provider}
        where = {"account_id": record["billing_account_id"], "sub_account_id": record["project_id"]}
        what = {
            "sku_id": record["sku_id"],
            "sku": record["sku"],
            "quantity": record["quantity"],
            "unit": record["unit"],
        }
        if self.part == "usage":
            return {**names, **where, **what}
        net = EXACT.add(record["cost"], record["credits"] or Decimal(0))
        self._cost[record["currency"]] = EXACT.add(self._cost.get(record["currency"], Decimal(0)), net)
        money = {
            "cost": net,
            "grants": record["grants"],
            "grant_names": record["grant_names"],
            "contracted_cost": record["cost"],
            "list_cost": record["list_cost"],
            "currency": billed_currency(record["currency"], "BigQuery"),
        }
        facts = {
            "service": record["service"],
            "sub_account_name": record["project_name"],
            "region": record["region"],
            "resource_id": record["resource_id"],
            "resource_name": record["resource_name"],
            "resource_type": record["resource_id"] and record["service"],
            "tags": _tags(record["labels"]),
            "cost_type": record["cost_type"],
            "invoice_month": record["invoice_month"],
        }
        return {**names, **where, **what, **money, **facts, **_priced(record)}


def _tags(labels: str | None) -> str | None:
    """Return labels as a JSON object; a label without a value is true (FOCUS, key/value format)."""
    pairs = orjson.loads(labels) if labels else []
    return orjson.dumps({pair["key"]: pair["value"] or True for pair in pairs}).decode() if pairs else None


def _priced(record: Record) -> Row:
    """Return quantities and unit prices in FOCUS units, and the costs they multiply to; nothing without a price block.

    A price holds for `price_quantity` units: 0.30 for 1,000,000. Quantity and price are rounded to nine digits, their
    product is not.
    """
    size, listed, effective = record["price_quantity"], record["list_price"], record["effective_price"]
    if not size or listed is None or effective is None or record["quantity"] is None or not record["unit"]:
        return {}
    quantity = (record["quantity"] / size).quantize(QUANTITY_DIGITS, context=EXACT)
    listed, effective = (price.quantize(PRICE_DIGITS, context=EXACT) for price in (listed, effective))
    consumed = record["consumed_quantity"]
    return {
        "pricing_quantity": quantity,
        "pricing_unit": focus_unit(record["unit"], size),
        "consumed_quantity": None if consumed is None else consumed.quantize(QUANTITY_DIGITS, context=EXACT),
        "consumed_unit": None if consumed is None else focus_unit(record["consumed_unit"] or record["unit"]),
        "list_unit_price": listed,
        "contracted_unit_price": effective,
        "list_cost": EXACT.multiply(quantity, listed),
        "contracted_cost": EXACT.multiply(quantity, effective),
    }
