"""OpenAI's steps on the sandbox, with the tables that they fill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.processors.openai import billing, cost, reconciliation, seed_csv, usage
from convergence.sandbox import Sandbox
from tests.unit.processors.step_world import ManualClock, WorldContext


class World(NamedTuple):
    """A context, and the sandbox it may call."""

    context: WorldContext
    base_url: str
    sandbox: Sandbox

    async def seed(self) -> None:
        source = {"file": "openai/seed/model_pricing.csv"}
        await self.run(seed_csv, source=source, destination={"table": "openai_model_pricing"})

    async def usage(self, **config: Any) -> Mapping[str, Any]:
        config = {"api_base_url": self.base_url, **config}
        return await self.run(usage, config=config, destination={"table": "openai_usage_daily_raw"})

    async def cost(self, **config: Any) -> Mapping[str, Any]:
        config = {"on_unknown_model": "warn", **config}
        return await self.run(cost, config=config, destination={"table": "openai_cost_daily"})

    async def billing(self) -> Mapping[str, Any]:
        config = {"api_base_url": self.base_url}
        return await self.run(billing, config=config, destination={"table": "openai_billing_daily_raw"})

    async def reconciliation(self) -> Mapping[str, Any]:
        return await self.run(reconciliation, destination={"table": "openai_cost_daily_reconciled"})

    async def run(self, module: Any, **step_config: Any) -> Mapping[str, Any]:
        result: Mapping[str, Any] = await module.get_engine().execute(step_config, self.context)
        json.dumps(result)
        return result

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        return (await self.context.warehouse.query(sql)).rows


@asynccontextmanager
async def world(**fields: Any) -> AsyncIterator[World]:
    clock, sandbox = ManualClock(), Sandbox()
    warehouse = DuckDbWarehouse(None, clock=clock)
    base_url = await sandbox.start()
    try:
        async with httpx.AsyncClient() as client:
            yield World(WorldContext(client, warehouse, clock, **fields), base_url, sandbox)
    finally:
        await sandbox.stop()
        warehouse.close()


def in_world(work: Callable[[World], Awaitable[Any]], **fields: Any) -> Any:
    async def main() -> Any:
        async with world(**fields) as found:
            return await work(found)

    return asyncio.run(main())
