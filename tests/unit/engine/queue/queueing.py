"""Put runs into a queue, and end them, without a message being delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.engine.finish_run import finish_run
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.enqueue import enqueue
from convergence.engine.queue.wake import wake_after
from convergence.engine.services import EngineSettings
from convergence.engine.store import read_run
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import one


def capped_engine(folder: Path, places: int) -> Engine:
    """Return an engine with so many places for the runs of all orgs; nothing is delivered."""
    engine = Engine(folder, EngineSettings(runs_max=places))
    engine.pipeline(one())
    engine.bus.detach()
    return engine


async def queue_run(engine: Engine, org: str = "acme", priority: Priority = Priority.SCHEDULED, **more: Any) -> Run:
    await engine.clock.sleep(0.001)  # they are ranked by time
    prepared = await prepare(engine.services, RunRequest(org=org, pipeline="p/d/n", **more))
    return await enqueue(engine.services, prepared.run, priority)


async def status(engine: Engine, run: Run) -> RunStatus:
    found = await read_run(engine.services, run.run_id)
    assert found is not None
    return found.run.status


async def end(engine: Engine, run_id: str) -> None:
    stored = await read_run(engine.services, run_id)
    assert stored is not None
    await finish_run(engine.services, stored)
    stored = await read_run(engine.services, run_id)
    assert stored is not None
    await wake_after(engine.services, stored.run)


async def held(engine: Engine, cap: str) -> list[str]:
    """Return the runs that have a place in a cap, whichever of its documents they are in."""
    documents = await engine.documents.get_many([f"caps/{cap}.{shard}" for shard in range(10)])
    return sorted(run_id for each in documents if each is not None for run_id in each.data["held"])


def still(engine: Engine) -> None:
    """Let no message be delivered: the test moves everything itself."""
    engine.bus.detach()
