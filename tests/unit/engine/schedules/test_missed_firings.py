"""What becomes of firings that nothing made: after an outage, in a blackout, while an earlier run is active."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.schedule import Blackout, Missed, Overlap
from convergence.domain.status import RunStatus
from convergence.engine.schedules.fire import fire_due
from convergence.engine.tick import admit_due
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, run_of, stored
from tests.unit.engine.works import one


def test_overlap_queue_starts_the_second_run_after_the_first(engine: Engine) -> None:
    engine.pipeline(one())

    subscriptions = engine.bus.detach()

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.QUEUE)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await engine.clock.sleep(3600)
        await fire_due(engine.services)
        first, second = (await stored(engine, schedule)).active_runs
        held = await run_of(engine, second)
        assert held.queue is not None
        assert held.queue.held_after == first
        assert not held.queue.rank
        engine.bus.attach(subscriptions)
        await engine.worker.start()
        ended = await engine.worker.wait("acme", second)
        before = await run_of(engine, first)
        assert ended.status is RunStatus.COMPLETED
        assert before.finished_at is not None
        assert ended.started_at is not None
        assert ended.started_at >= before.finished_at

    engine.run_scenario(scenario)


def test_overlap_cancel_running_ends_the_earlier_run_in_the_same_commit(engine: Engine) -> None:
    engine.pipeline(one())

    engine.bus.detach()  # nothing starts by itself

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.CANCEL_RUNNING)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await admit_due(engine.services)
        await engine.clock.sleep(3600)
        (first,) = (await stored(engine, schedule)).active_runs
        await fire_due(engine.services)
        assert (await run_of(engine, first)).status is RunStatus.CANCELLED
        assert len((await stored(engine, schedule)).active_runs) == 1
        assert first not in (await engine.data("orgs/acme/usage/current"))["active"]

    engine.run_scenario(scenario)


@pytest.mark.parametrize("overlap", list(Overlap))
def test_all_runs_every_missed_firing_to_its_end(engine: Engine, overlap: Overlap) -> None:
    engine.pipeline(one())

    async def load(config: Any, context: Any) -> dict[str, Any]:
        await engine.clock.sleep(300)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = load

    async def scenario() -> None:
        await add(engine, cron="0 2 * * *", missed=Missed.ALL, overlap=overlap)
        await engine.clock.sleep(5 * 86_400)  # an outage
        await engine.worker.start()
        for _ in range(100):
            await fire_due(engine.services)
            await admit_due(engine.services)
            await engine.clock.sleep(30)
        runs = (await engine.documents.query("runs", limit=10)).documents
        assert [each.data["status"] for each in runs] == ["completed"] * 5

    engine.run_scenario(scenario)


def test_a_blackout_at_the_end_of_an_outage_leaves_the_firing_before_it(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        start = engine.clock.now().replace(hour=0, minute=0) + timedelta(days=3)
        closed = Blackout(start=start, end=start + timedelta(days=3), reason="close")
        schedule = await add(engine, cron="0 2 * * *", missed=Missed.LAST, blackouts=(closed,))
        await engine.clock.sleep((start + timedelta(hours=3) - engine.clock.now()).total_seconds())
        done = await fire_due(engine.services)
        after = await stored(engine, schedule)
        assert (done.fired, after.last_fired_at) == (1, start - timedelta(hours=22))
        assert after.last_skip is not None
        assert (after.last_skip.last, after.last_skip.reason) == (
            start + timedelta(hours=2),
            "it was in a blackout: close",
        )
        assert (await run_of(engine, after.last_run)).fire_time == after.last_fired_at

    engine.run_scenario(scenario)
