"""What reconciliation does with queued runs: held ones are taken up, and none waits for longer than it may."""

from __future__ import annotations

from datetime import timedelta

import pytest

from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.engine.finish_run import finish_run
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.enqueue import check_queued, ensure_queue, queued, release_held
from convergence.engine.store import StoredRun, read_run, write_run
from convergence.ports.documents import Delete
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import one


async def held(engine: Engine, after: str) -> Run:
    """Store a run that waits for the end of another one."""
    prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="p/d/n"))
    waiting = queued(
        engine.services, prepared.run, Priority.SCHEDULED, "due", held_after=after, token=prepared.run.token
    )
    await ensure_queue(engine.services, "acme")
    return (await write_run(engine.services, waiting, 0)).run


async def read(engine: Engine, run: Run) -> StoredRun:
    found = await read_run(engine.services, run.run_id)
    assert found is not None
    return found


async def rank(engine: Engine, run: Run) -> str:
    place = (await read(engine, run)).run.queue
    assert place is not None
    return place.rank


@pytest.fixture
def still(engine: Engine) -> Engine:
    """Return the engine with a pipeline; no message is delivered."""
    engine.pipeline(one())
    engine.bus.detach()
    return engine


def test_the_end_of_a_run_releases_those_that_waited_for_it_and_no_others(still: Engine) -> None:
    async def scenario() -> None:
        first = await still.start()
        waiting, other = await held(still, first.run_id), await held(still, "run_of_another_schedule")
        assert await release_held(still.services, first.run_id) == 1
        assert await rank(still, waiting)
        assert (await still.data("org_queues/acme"))["ready"] is True
        assert not await rank(still, other)

    still.run_scenario(scenario)


@pytest.mark.parametrize("ended", [True, False], ids=["the run before has ended", "it is still running"])
def test_a_held_run_is_taken_up_by_reconciliation_when_the_one_before_has_ended(still: Engine, *, ended: bool) -> None:
    async def scenario() -> None:
        first = await still.start()
        waiting = await held(still, first.run_id)
        if ended:
            await finish_run(still.services, await read(still, first))
        before = (await read(still, waiting)).run
        await still.clock.sleep(60)
        await check_queued(still.services, await read(still, waiting))
        after = (await read(still, waiting)).run
        assert bool(await rank(still, waiting)) is ended
        assert after.token != before.token
        if not ended:
            assert after.check_at == still.clock.now() + timedelta(seconds=60)

    still.run_scenario(scenario)


def test_a_run_that_waits_for_one_that_is_gone_is_taken_up(still: Engine) -> None:
    async def scenario() -> None:
        first = await still.start()
        waiting = await held(still, first.run_id)
        await still.documents.commit([Delete(first.path)])
        await check_queued(still.services, await read(still, waiting))
        assert await rank(still, waiting)

    still.run_scenario(scenario)


def test_a_run_gives_up_at_its_deadline_and_not_before(still: Engine) -> None:
    async def scenario() -> None:
        first = await still.start()
        waiting = await held(still, first.run_id)
        left = waiting.deadline_at - still.clock.now()
        await still.clock.sleep(left.total_seconds() - 0.001)
        await check_queued(still.services, await read(still, waiting))
        assert (await read(still, waiting)).run.status is RunStatus.QUEUED
        await still.clock.sleep(0.001)
        await check_queued(still.services, await read(still, waiting))
        gone = (await read(still, waiting)).run
        assert gone.status is RunStatus.FAILED
        assert (await still.data(f"dead_letters/{waiting.run_id}._run.0"))["attempts"] == 1

    still.run_scenario(scenario)
