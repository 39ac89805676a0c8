"""A warehouse of dictionaries: slices, stages and the job ledger, as the port promises them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convergence.ports.warehouse import Load, LoadResult, Row, TableSchema, WriteMode


class MemoryStage:
    """Parts by number."""

    def __init__(self, parts: dict[int, list[Row]]) -> None:
        self._parts = parts

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        self._parts[part] = list(rows)

    async def flush(self) -> None:
        return

    async def discard(self, from_part: int = 0) -> None:
        for part in [part for part in self._parts if part >= from_part]:
            del self._parts[part]


class MemoryWarehouse:
    """Rows by dataset, table and slice. Only what a simulated step uses."""

    def __init__(self) -> None:
        self.slices: dict[tuple[Any, ...], list[Row]] = {}
        self._stages: dict[tuple[str, str], dict[int, list[Row]]] = {}
        self._jobs: dict[str, LoadResult] = {}

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        return

    def stage(self, dataset: str, table: TableSchema, name: str) -> MemoryStage:
        return MemoryStage(self._stages.setdefault((dataset, name), {}))

    async def load(self, load: Load, *stages: MemoryStage) -> LoadResult:
        known = self._jobs.get(load.job_id)
        if known is not None:
            return LoadResult(known.rows_loaded, known.rows_removed, repeated=True)
        assert load.dates is not None
        assert load.dataset.startswith(load.lineage.org_slug), "a row of one org in another's dataset"
        rows = [row for stage in stages for part in sorted(stage._parts) for row in stage._parts[part]]
        lineage = load.lineage
        key = (load.dataset, load.table.name, lineage.pipeline_id, lineage.credential_id, load.dates)
        before = self.slices.get(key, [])
        self.slices[key] = [*before, *rows] if load.mode is WriteMode.APPEND else rows
        for stage in stages:
            await stage.discard()
        result = self._jobs[load.job_id] = LoadResult(len(rows), 0 if load.mode is WriteMode.APPEND else len(before))
        return result
