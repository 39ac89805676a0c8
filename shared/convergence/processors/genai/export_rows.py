"""What a service's rows of the billing export become: quantities by SKU, or their cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, ClassVar, Literal

from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.gcp.billing_export import ExportSettings, Record, pages
from convergence.processors.genai.billed import billed_currency
from convergence.processors.settings import settings


class ExportProcessor(TableProcessor):
    """Extracts a provider's rows of all dates into `genai_metrics_daily_raw` or `genai_billing_daily_raw`."""

    config_model = ExportSettings
    date_field = "usage_date"
    provider: ClassVar[str]
    services: ClassVar[tuple[str, ...]]  # as the export calls them
    part: ClassVar[Literal["usage", "cost"]]

    def __init__(self) -> None:
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
        return {"cost": {currency: f"{total.normalize():f}" for currency, total in self._cost.items()}}

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
        net = record["cost"] + (record["credits"] or 0)
        self._cost[record["currency"]] = self._cost.get(record["currency"], Decimal(0)) + net
        money = {
            "cost": net,
            "list_cost": record["list_cost"],
            "currency": billed_currency(record["currency"], "BigQuery"),
        }
        return {**names, **where, **what, **money, "service": record["service"]}
