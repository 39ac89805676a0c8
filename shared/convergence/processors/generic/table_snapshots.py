"""`generic.table_snapshots`: keep the org's tables as they are today, for days that time travel no longer reaches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import Field

from convergence.ports.processor import SUCCESS, Context
from convergence.processors.settings import Settings, settings


class SnapshotSettings(Settings):
    """`tables`: all of the org's dataset unless named. `keep_days`: when BigQuery removes a snapshot."""

    tables: tuple[str, ...] = Field(default=(), max_length=1000)
    keep_days: int = Field(default=35, ge=1, le=400)


class TableSnapshots:
    """One snapshot per table and day, `{table}_snapshot_{YYYYMMDD}`; a repetition finds those that exist."""

    config_model = SnapshotSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Take the snapshots. A table of `tables` that does not exist is a warning."""
        options, now = settings(SnapshotSettings, step_config), context.now()
        kept = await context.warehouse.snapshot(
            options.tables, suffix=f"_snapshot_{now:%Y%m%d}", until=now + timedelta(days=options.keep_days)
        )
        if kept is None:
            advice = "The embedded warehouse has no table snapshots: `convergence backup` keeps a copy of all data."
            return {"status": SUCCESS, "snapshots": 0, "warnings": [advice]}
        missing = [name for name in options.tables if name not in kept]
        warnings = [f"There is no table {name} to keep." for name in missing[:10]]
        return {"status": SUCCESS, "snapshots": len(kept), **({"warnings": warnings} if warnings else {})}


def get_engine() -> TableSnapshots:
    """Return the processor."""
    return TableSnapshots()
