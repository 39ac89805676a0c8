"""Table snapshots: BigQuery keeps them, the embedded warehouse says what keeps a copy there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import TableSchema, TableSnapshots, Warehouse
from convergence.processors.generic.table_snapshots import get_engine
from tests.contract.warehouse.world import Body
from tests.unit.processors.step_world import ManualClock, WorldContext


def test_a_snapshot_keeps_rows_that_change_later(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        context = WorldContext(None, cast("Any", warehouse), ManualClock())
        dataset = context.warehouse.dataset
        await warehouse.append(dataset, usage, [{"id": 1}, {"id": 2}], ids=["a", "b"])
        taken = await _take(context)
        if not isinstance(warehouse, TableSnapshots):
            assert taken["snapshots"] == 0
            assert "convergence backup" in taken["warnings"][0]
            return
        assert taken == {"status": "SUCCESS", "snapshots": 1}
        await warehouse.append(dataset, usage, [{"id": 3}], ids=["c"])
        kept = f"usage_snapshot_{context.now():%Y%m%d}"
        assert await _ids(context, kept) == [1, 2]
        assert await _ids(context, "usage") == [1, 2, 3]

        assert (await _take(context))["snapshots"] == 1  # today's is there, and is no table to take one of
        assert await _ids(context, kept) == [1, 2]
        some = await _take(context, tables=["usage", "usagf"], keep_days=1)
        assert some == {"status": "SUCCESS", "snapshots": 1, "warnings": ["There is no table usagf to keep."]}
        with pytest.raises(StepFailed, match="snapshot"):
            await context.warehouse.query(f"DELETE FROM {kept} WHERE TRUE", write=True)

    run(body)


async def _take(context: WorldContext, **config: Any) -> Mapping[str, Any]:
    return await get_engine().execute({"config": config}, context)


async def _ids(context: WorldContext, table: str) -> list[int]:
    found = await context.warehouse.query(f"SELECT id FROM {table} ORDER BY id")
    return [row["id"] for row in found.rows]
