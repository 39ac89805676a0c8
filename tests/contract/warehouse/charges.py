"""Charges that are complete as far as the table demands."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from convergence.config.files.schemas.table import load_table_schema

CONFIGS: Final = Path(__file__).parents[3] / "configs"
FOCUS: Final = load_table_schema(CONFIGS / "focus/schemas/cost_data_standard_1_3.json")
UNIFIED: Final = load_table_schema(CONFIGS / "unified/schemas/unified_cost_daily.json")
NOVEMBER: Final = date(2026, 11, 1)


def charge(day: date, cost: str, **changes: Any) -> dict[str, Any]:
    """A charge of one day and model, complete as far as the table demands."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    month = start.replace(day=1)
    values: dict[str, Any] = {
        "BilledCost": Decimal(cost), "EffectiveCost": Decimal(cost), "ListCost": Decimal(cost),
        "ContractedCost": Decimal(cost), "BillingAccountId": "a1", "BillingCurrency": "USD",
        "BillingPeriodStart": month, "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
        "ChargePeriodStart": start, "ChargePeriodEnd": start + timedelta(days=1), "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based", "InvoiceIssuerName": "OpenAI", "ProviderName": "OpenAI",
        "PublisherName": "OpenAI", "ServiceCategory": "AI and Machine Learning", "ServiceName": "OpenAI API",
        "ServiceProviderName": "OpenAI", "x_Model": "gpt-5", "x_ChargeKind": "input", "PricingQuantity": Decimal(2),
        "PricingUnit": "1M Tokens", "Tags": "{}",
    }  # fmt: skip
    return values | changes
