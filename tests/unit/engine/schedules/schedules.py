"""A schedule of these tests, and what became of it."""

from __future__ import annotations

from typing import Any

from convergence.domain.run import Run
from convergence.domain.schedule import Schedule, Timing
from convergence.engine.schedules import edit
from convergence.engine.schedules.store import read_schedule
from convergence.engine.store import read_run
from tests.unit.engine.conftest import Engine


async def add(engine: Engine, org: str = "acme", name: str = "nightly", **timing: Any) -> Schedule:
    schedule = edit.new_schedule(
        engine.services,
        org=org,
        pipeline="p/d/n",
        provider="p",
        name=name,
        timing=Timing(**({"cron": "0 * * * *"} | timing)),
    )
    return await edit.create(engine.services, schedule)


async def stored(engine: Engine, schedule: Schedule) -> Schedule:
    found = await read_schedule(engine.services, schedule.schedule_id)
    assert found is not None
    return found.schedule


async def run_of(engine: Engine, run_id: str) -> Run:
    found = await read_run(engine.services, run_id)
    assert found is not None, run_id
    return found.run
