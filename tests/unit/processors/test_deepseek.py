"""A provider without a line of Python: DeepSeek's balance by configs/ alone, against the sandbox."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest

from convergence.adapters.local.warehouse import DuckDbWarehouse
from convergence.errors import CredentialRejected
from convergence.sandbox import Sandbox, deepseek
from tests.unit.processors.step_world import FIRST, ManualClock, Vault, WorldContext
from tests.unit.processors.test_main_job import plan_of, run


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
