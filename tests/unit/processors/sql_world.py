"""A warehouse with a small table, on which a test runs steps of SQL and checks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.processors import ps_types
from tests.unit.processors.step_world import CONFIGS, ManualClock, WorldContext

DAY = date(2026, 11, 10)
TABLE = "acme_things_daily_raw"
FIELDS = [
    {"name": "id", "type": "INT64"},
    {"name": "day", "type": "DATE"},
    {"name": "kind", "type": "STRING"},
    {"name": "amount", "type": "NUMERIC"},
]
ROWS = [
    {"id": 1, "day": "2026-11-10", "kind": "a", "amount": "1.5"},
    {"id": 2, "day": "2026-11-10", "kind": "b", "amount": "-2"},
    {"id": 2, "day": "2026-11-10", "kind": None, "amount": "4"},
]
Scenario = Callable[[WorldContext], Awaitable[Any]]


def run_scenario(folder: Path, scenario: Scenario) -> Any:
    """Run a scenario on a table of three rows."""
    schemas = folder / "acme" / "schemas"
    schemas.mkdir(parents=True)
    for name in (TABLE, "acme_sums_daily_unified"):
        (schemas / f"{name}.json").write_text(json.dumps(FIELDS))
    for name in ("org_meta_dq_results", "org_meta_quarantine_rows"):
        (schemas / f"{name}.json").write_text((CONFIGS / f"system/schemas/{name}.json").read_text())
    clock = ManualClock()
    warehouse = DuckDbWarehouse(None, clock=clock)

    async def main() -> Any:
        fields = {"configs_dir": folder, "start_date": DAY, "end_date": DAY}
        context = WorldContext(None, warehouse, clock, **fields)
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, ROWS)
        await context.warehouse.load(stage, dates=[DAY])
        return await scenario(context)

    try:
        return asyncio.run(main())
    finally:
        warehouse.close()


async def step(context: WorldContext, ps_type: str, config: Mapping[str, Any], **parts: Any) -> Mapping[str, Any]:
    return await ps_types.load(ps_type).execute({"config": config, **parts}, context)


async def rows(context: WorldContext, sql: str) -> list[dict[str, Any]]:
    return (await context.warehouse.query(sql)).rows
