"""Extractions into one table, one after the other or at the same time, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.ports.warehouse import LINEAGE_COLUMNS, Warehouse
from convergence.processors.generic.api.settings import ApiDestination, Transform
from convergence.processors.generic.landing.landing import Landing, open_landing
from tests.unit.processors.step_world import CONFIGS, ManualClock, WorldContext

DAY = date(2026, 11, 10)
TABLE = "acme_things_daily_raw"


class LandingWorld:
    """One warehouse; each extraction is a run of its own."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self.warehouse, self.folder = warehouse, folder
        schemas = folder / "system" / "schemas"
        schemas.mkdir(parents=True, exist_ok=True)
        quarantine = CONFIGS / "system/schemas/org_meta_quarantine_rows.json"
        (schemas / quarantine.name).write_text(quarantine.read_text())

    def context(self, run_id: str, day: date = DAY) -> WorldContext:
        fields = {"run_id": run_id, "configs_dir": self.folder, "start_date": day, "end_date": day}
        return WorldContext(None, self.warehouse, ManualClock(), **fields)

    async def open(self, run_id: str, schema: dict[str, Any] | None, day: date = DAY, **parts: Any) -> Landing:
        target = ApiDestination.model_validate(
            {"table": TABLE, **({"schema": schema} if schema else {}), **parts.pop("destination", {})}
        )
        dates = target.slices(self.context(run_id, day))
        transform = Transform.model_validate(parts.pop("transform", {}))
        return await open_landing(target, transform, self.context(run_id, day), dates=dates, **parts)

    async def land(
        self, run_id: str, records: Sequence[Any], schema: dict[str, Any] | None, day: date = DAY, **parts: Any
    ) -> Landing:
        """Extract the records in batches of two, and load them."""
        dates = None if "key_fields" in parts.get("destination", ()) else [day]
        landing = await self.open(run_id, schema, day, **parts)
        staged = 0
        for part, first in enumerate(range(0, len(records), 2)):
            shaped = await landing.shape(records[first : first + 2])
            staged += len(shaped.rows)
            await landing.stages[0].write(part, shaped.rows)
            if shaped.bad:
                await landing.stages[1].write(part, shaped.bad)
                await landing.load_quarantine()
        await landing.load(dates=dates, staged=staged)
        return landing

    async def rows(self, columns: str = "*", order: str = "1") -> list[dict[str, Any]]:
        found = await self.context("reader").warehouse.query(f"SELECT {columns} FROM {TABLE} ORDER BY {order}")
        return found.rows

    async def types(self) -> dict[str, str]:
        stored = await self.warehouse.columns("acme_test", TABLE)
        return {column.name: column.type for column in stored if column.name not in LINEAGE_COLUMNS}


def in_world(folder: Path, body: Callable[[LandingWorld], Awaitable[None]]) -> None:
    async def run() -> None:
        warehouse = DuckDbWarehouse(None, clock=ManualClock())
        try:
            await body(LandingWorld(warehouse, folder))
        finally:
            warehouse.close()

    asyncio.run(run())
