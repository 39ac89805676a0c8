"""Words and ids of FOCUS charges that depend on the provider, by the procedure that all LLM providers share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.procedures import load_procedures
from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter
from convergence.processors.genai.billed import billed_amount
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext

COST: dict[str, Any] = {
    "usage_date": FIRST.isoformat(),
    "service_name": "An API",
    "provider_name": "Somebody",
    "billing_account_id": "acme",
    "project_id": "p",
    "usage_kind": "messages",
    "model": "m/1",
    "charge_kind": "input",
    "processing": "standard",
    "above_input_tokens": 0,
    "consumed_quantity": 1_000_000,
    "consumed_unit": "Tokens",
    "pricing_quantity": 1,
    "pricing_unit": "1000000 Tokens",
    "currency": "USD",
    "price_basis": "list",
}


def charge(provider: str, price: str, price_id: str) -> dict[str, Any]:
    return {**COST, "provider": provider, "unit_price": price, "cost": price, "price_id": price_id}


def charges(*costs: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what the procedure makes of rows of `genai_cost_daily_unified`."""

    async def main() -> Sequence[Mapping[str, Any]]:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await warehouse.sync_routines(load_procedures(CONFIGS))
            context = WorldContext(None, warehouse, clock)
            await context.warehouse.ensure_table("cost_data_standard_1_3")
            stage = context.warehouse.stage("genai_cost_daily_unified")
            await stage.write(0, list(costs))
            await context.warehouse.load(stage, dates=[FIRST], date_field="usage_date")
            names = ("org_slug", "pipeline_id", "credential_id", "run_id")
            arguments = {f"p_{name}": Parameter("STRING", getattr(context, name)) for name in names}
            arguments |= {f"p_{name}": Parameter("DATE", date(2026, 11, 10)) for name in ("start_date", "end_date")}
            await context.warehouse.call("sp_genai_convert_focus_1_3", arguments)
            return (await context.warehouse.query("SELECT * FROM cost_data_standard_1_3 ORDER BY BilledCost")).rows
        finally:
            warehouse.close()

    return asyncio.run(main())


def test_two_prices_of_two_places_have_two_ids_of_one_sku() -> None:
    anywhere = charge("anthropic", "10", "m/1/input/standard/0@open")
    place = charge("anthropic", "11", "m/1/input/standard/0/us@2026-01-01")
    sku = "anthropic/m/1/input"
    found = [(row["SkuId"], row["SkuPriceId"]) for row in charges(anywhere, place)]
    assert found == [(sku, f"{sku}/standard/0"), (sku, f"{sku}/standard/0/us")]


def test_accounts_are_called_as_the_provider_calls_them() -> None:
    providers = ("anthropic", "azure_openai", "gemini", "openai")
    rows = charges(
        *(charge(name, str(number), "m/1/input/standard/0@open") for number, name in enumerate(providers, 1))
    )
    found = {row["x_Provider"]: (row["BillingAccountType"], row["SubAccountType"]) for row in rows}
    assert found == {
        "anthropic": ("Organization", "Workspace"),
        "azure_openai": ("Subscription", "Resource"),
        "gemini": ("Billing Account", "Project"),
        "openai": ("Organization", "Project"),
    }


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1,5", "", None, True, float("nan")])
def test_a_bill_over_no_number_is_refused(value: Any) -> None:
    with pytest.raises(StepFailed, match=r"the bill: the amount is .*, which is not a number; nothing was loaded"):
        billed_amount(value, "the bill")


def test_a_billed_amount_keeps_every_digit() -> None:
    assert [str(billed_amount(value, "")) for value in ("-0.10", 5, Decimal("1E-18"))] == ["-0.10", "5", "1E-18"]
