"""What reconciliation does with queued runs: held ones are taken up, and none waits for longer than it may."""

from __future__ import annotations

from datetime import timedelta

import pytest

from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.engine.finish_run import finish_run
from convergence.engine.messages import QueueChanged
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import check_queued, enqueue, release_held
from convergence.engine.queue.handler import on_queue_changed
from convergence.engine.queue.waiting import ensure_queue, queued
from convergence.engine.store import StoredRun, read_run, write_run
from convergence.ports.bus import QUEUE_CHANGED, Ack, Delivery, Message
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
        soon = still.clock.now() + timedelta(seconds=60)
        waiting, other = await held(still, first.run_id), await held(still, "run_of_another_schedule")
        assert await release_held(still.services, first.run_id) == 1
        assert await rank(still, waiting)
        assert (await still.data("org_queues/acme"))["ready"] is True
        assert not await rank(still, other)
        assert other.check_at == soon, "should the end of the one before be missed"

    still.run_scenario(scenario)


def test_the_end_of_a_schedules_run_lets_the_next_one_start(still: Engine) -> None:
    """Also where the org itself waits for nothing: the held run is what makes it ready."""

    async def scenario() -> None:
        first = await still.start()
        await write_run(
            still.services, changed(first, schedule_id="sch_1", token="t_s"), (await read(still, first)).version
        )
        waiting = await held(still, first.run_id)
        await finish_run(still.services, await read(still, first))
        message = Message(QueueChanged("acme", first.run_id).encode())
        assert await on_queue_changed(still.services, Delivery(message, "m1", 1, QUEUE_CHANGED)) == Ack()
        assert (await read(still, waiting)).run.status is RunStatus.RUNNING

    still.run_scenario(scenario)


def test_a_pass_goes_through_all_orgs_that_are_ready_page_by_page(
    still: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convergence.engine.queue.admission._PAGE", 2)

    async def scenario() -> None:
        for number in range(5):
            await still.org(f"org{number}")
            run = (await prepare(still.services, RunRequest(org=f"org{number}", pipeline="p/d/n"))).run
            await enqueue(still.services, run)
        assert (await admission_pass(still.services)).runs == 5

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
