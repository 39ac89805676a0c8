"""A provider without a line of Python: DeepSeek's balance by configs/ alone, against the sandbox."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.procedures import load_procedures
from convergence.errors import CredentialRejected, StepFailed
from convergence.processors.deepseek.cost import cost_not_known
from convergence.sandbox import Sandbox, deepseek
from tests.unit.processors.plans import plan_of, run
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, Vault, WorldContext


async def balance(key: str) -> tuple[Any, list[dict[str, Any]]]:
    clock, sandbox = ManualClock(), Sandbox()
    warehouse = DuckDbWarehouse(None, clock=clock)
    vault = Vault({"deepseek": key})
    base_url = await sandbox.start()
    plan = plan_of("deepseek/cost/balance", api_base_url=base_url, allow_private_addresses=True, date=FIRST.isoformat())
    try:
        async with httpx.AsyncClient() as client:
            fields = {"secrets": vault, "provider": "deepseek", "end_date": FIRST}
            context = WorldContext(client, warehouse, clock, **fields)
            results = await run(plan, context)
            table = await context.warehouse.query("SELECT * FROM deepseek_balance_daily_raw ORDER BY currency")
            return results, table.rows
    finally:
        await sandbox.stop()
        warehouse.close()


def test_the_balance_is_read_with_every_digit_and_checked() -> None:
    results, rows = asyncio.run(balance(deepseek.KEY))
    assert {row["currency"]: row["total_balance"] for row in rows} == {
        one["currency"]: Decimal(one["total_balance"]) for one in deepseek.BALANCES
    }
    assert rows[0]["read_at"] is not None
    assert results["validate_balance"]["checks_passed"] == 4


def test_a_wrong_key_is_refused() -> None:
    with pytest.raises(CredentialRejected, match="deepseek GET /v1/user/balance"):
        asyncio.run(balance("sk-wrong"))


async def days_of_spending(*spent: str, top_up: str = "0") -> list[dict[str, Any]]:
    """Read the balance, spend in USD, read it the day after, and so on; return what became of it in FOCUS."""
    clock, sandbox = ManualClock(), Sandbox()
    warehouse = DuckDbWarehouse(None, clock=clock)
    vault = Vault({"deepseek": deepseek.KEY})
    base_url = await sandbox.start()
    try:
        async with httpx.AsyncClient() as client:
            await warehouse.sync_routines(load_procedures(CONFIGS))
            for number, amount in enumerate(("0", *spent)):
                sandbox.deepseek.spend("USD", Decimal(amount))
                today = clock.now().date()
                given = {"api_base_url": base_url, "allow_private_addresses": True, "date": today.isoformat()}
                plan = plan_of("genai/payg/deepseek", **given, topped_up_usd=top_up)
                fields = {"secrets": vault, "provider": "deepseek", "run_id": f"run_{number}"}
                context = WorldContext(client, warehouse, clock, **fields, start_date=today, end_date=today)
                await run(plan, context)
                clock.at += timedelta(days=1)
            sql = "SELECT * FROM cost_data_standard_1_3 ORDER BY ChargePeriodStart, BillingCurrency"
            return (await context.warehouse.query(sql)).rows
    finally:
        await sandbox.stop()
        warehouse.close()


def test_what_it_cost_is_the_fall_of_the_balance_day_by_day() -> None:
    rows = asyncio.run(days_of_spending("1.23", "0.004"))
    found = [(row["BillingCurrency"], row["BilledCost"]) for row in rows]
    assert found == [("CNY", 0), ("USD", Decimal("1.23")), ("CNY", 0), ("USD", Decimal("0.004"))]
    assert {row["x_PriceBasis"] for row in rows} == {"provider_bill"}
    unpriced = ("SkuPriceId", "ListUnitPrice", "PricingQuantity", "PricingCategory", "ConsumedQuantity")
    assert [row[name] for row in rows for name in unpriced] == [None] * 5 * len(rows)


def test_a_balance_that_rose_asks_for_what_was_paid_in() -> None:
    with pytest.raises(StepFailed, match=r"in USD rose by 8.77 since 2026-11-21: .* topped_up_usd"):
        asyncio.run(days_of_spending("-8.77"))
    rows = asyncio.run(days_of_spending("-8.77", top_up="10"))
    assert [row["BilledCost"] for row in rows if row["BillingCurrency"] == "USD"] == [Decimal("1.23")]


def test_a_currency_that_comes_or_goes_is_reported() -> None:
    def read(currency: str, number: int = 0, left: str = "5") -> dict[str, Any]:
        day = FIRST + timedelta(days=number)
        return {"currency": currency, "total_balance": Decimal(left), "x_pipeline_run_date": day}

    usd = read("USD", 1)
    assert cost_not_known([read("USD", 2)], {"USD": usd}) == []
    (first,) = cost_not_known([read("USD", 2), read("CNY", 2)], {"USD": usd})
    assert first.startswith("the first reading of the balance in CNY")
    (gone,) = cost_not_known([read("USD", 2)], {"USD": usd, "CNY": read("CNY", 1)})
    assert gone.startswith("DeepSeek no longer reports the balance in CNY, 5 at the last reading")
    assert cost_not_known([read("USD", 2)], {"USD": usd, "CNY": read("CNY", 1, "0")}) == []
    assert cost_not_known([read("USD", 2)], {"USD": usd, "CNY": read("CNY")}) == []  # reported the day after it went
