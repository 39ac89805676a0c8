"""Charges that follow all rules of FOCUS, and the gate that they pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from convergence.config.processors import ps_types
from tests.unit.processors.step_world import FIRST, WorldContext

CANDIDATES, VISIBLE = "cost_data_candidate_1_3", "cost_data_standard_1_3"
DAY = f"{FIRST.isoformat()}T00:00:00Z"
NEXT = f"{date.fromordinal(FIRST.toordinal() + 1).isoformat()}T00:00:00Z"
CHARGE: dict[str, Any] = {
    "BilledCost": Decimal(6),
    "EffectiveCost": Decimal(6),
    "ContractedCost": Decimal(6),
    "ListCost": Decimal(8),
    "BillingAccountId": "acc-1",
    "BillingAccountName": "Account",
    "BillingAccountType": "Organization",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeDescription": "Tokens",
    "ChargeFrequency": "Usage-Based",
    "ChargePeriodStart": DAY,
    "ChargePeriodEnd": NEXT,
    "ConsumedQuantity": Decimal(2_000_000),
    "ConsumedUnit": "Tokens",
    "ContractedUnitPrice": Decimal(3),
    "ListUnitPrice": Decimal(4),
    "PricingCategory": "Standard",
    "PricingCurrency": "USD",
    "PricingCurrencyContractedUnitPrice": Decimal(3),
    "PricingCurrencyEffectiveCost": Decimal(6),
    "PricingCurrencyListUnitPrice": Decimal(4),
    "PricingQuantity": Decimal(2),
    "PricingUnit": "1000000 Tokens",
    "HostProviderName": "OpenAI",
    "InvoiceIssuerName": "OpenAI",
    "ProviderName": "OpenAI",
    "PublisherName": "OpenAI",
    "ServiceProviderName": "OpenAI",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceSubcategory": "Generative AI",
    "ServiceName": "OpenAI API",
    "SkuId": "sku",
    "SkuMeter": "Input Tokens",
    "SkuPriceDetails": '{"x_Model": "m", "x_AboveInputTokens": 0}',
    "SkuPriceId": "sku/standard",
    "SubAccountId": "p",
    "SubAccountName": "Project",
    "SubAccountType": "Project",
    "Tags": "{}",
    "x_Provider": "openai",
    "x_UsageKind": "completions",
    "x_ChargeId": "c1",
    "x_SourceTable": "openai_usage_daily_raw",
    "x_SourceRowId": "r1",
}


def charge(number: int, **changes: Any) -> dict[str, Any]:
    return {
        **CHARGE,
        "x_ChargeId": f"c{number}",
        "x_SourceRowId": f"r{number}",
        "SubAccountId": f"p{number}",
        **changes,
    }


async def gate(context: WorldContext, rows: Sequence[Mapping[str, Any]], **config: Any) -> Mapping[str, Any]:
    stage = context.warehouse.stage(CANDIDATES)
    await stage.write(0, rows)
    await context.warehouse.load(stage, dates=[context.start_date])
    await context.warehouse.sync_routines("sp_focus_assign_hierarchy")
    step = {"config": config, "destination": {"table": VISIBLE}}
    answer: Mapping[str, Any] = await ps_types.load("generic.focus_gate").execute(step, context)
    return answer


async def asked(context: WorldContext, sql: str) -> Sequence[Mapping[str, Any]]:
    return (await context.warehouse.query(sql)).rows
