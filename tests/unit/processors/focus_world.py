"""An embedded warehouse with the tables of charges, in which a test runs the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.processors.focus.slices import Slice, slice_of
from tests.unit.processors.focus_charges import CANDIDATES, VISIBLE, asked
from tests.unit.processors.step_world import ManualClock, WorldContext

Work = Callable[[WorldContext], Awaitable[Any]]


def world(work: Work) -> Any:
    async def main() -> Any:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            context = WorldContext(None, warehouse, clock)
            context.provider = "openai"
            return await work(context)
        finally:
            warehouse.close()

    return asyncio.run(main())


async def usage_of(context: WorldContext, provider: str) -> Slice:
    return await slice_of(context, CANDIDATES, VISIBLE, kind="usage", provider=provider)


async def load(context: WorldContext, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    stage = context.warehouse.stage(table)
    await stage.write(0, rows)
    await context.warehouse.ensure_table(VISIBLE)
    await context.warehouse.load(stage, dates=[context.start_date])


async def visible(context: WorldContext) -> list[str]:
    return [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE} ORDER BY x_ChargeId")]
