"""Steps that write to the warehouse, each in another way."""

from __future__ import annotations

from typing import Any

from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, WriteMode


async def append(context: Context, table: str = "rows") -> Any:
    stage = context.warehouse.stage(table)
    await stage.write(0, [{"label": context.parameters.get("label")}])
    return await context.warehouse.load(stage, dates=None, mode=WriteMode.APPEND)


async def insert(context: Context, table: str = "rows") -> Any:
    label = Parameter("STRING", context.parameters.get("label"))
    return await context.warehouse.query(table, {"label": label}, write=True)


async def call(context: Context, table: str = "rows") -> Any:
    return await context.warehouse.call(table, {"label": Parameter("STRING", context.parameters.get("label"))})
