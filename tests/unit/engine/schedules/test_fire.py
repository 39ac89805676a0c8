"""Ticks: each due instant makes one run or one recorded skip, whatever fails and however many tick."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from convergence.adapters.local.bus import LocalBus
from convergence.domain.schedule import Overlap, scheduled_run_id
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.schedules.fire import fire_due
from convergence.errors import Transient
from convergence.worker import LocalWorker
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, run_of, stored
from tests.unit.engine.works import one


def test_a_due_schedule_makes_a_queued_run_that_is_admitted_and_ends(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        assert schedule.slot is not None
        await engine.clock.sleep((schedule.slot - engine.clock.now()).total_seconds() + 1)
        assert (await fire_due(engine.services)).fired == 1
        run = await run_of(engine, scheduled_run_id(schedule.schedule_id, schedule.slot))
        assert run.status is RunStatus.QUEUED
        assert run.fire_time == schedule.slot
        assert run.transitions[-1][2] == f"due at {to_text(schedule.slot)} (schedule nightly)"
        await engine.worker.start()
        ended = await engine.worker.wait("acme", run.run_id)
        assert ended.status is RunStatus.COMPLETED
        assert ended.schedule_id == schedule.schedule_id
        assert [move[1] for move in ended.transitions] == ["queued", "validating", "running", "completed"]

    engine.run_scenario(scenario)


def test_a_process_that_starts_fires_and_admits_at_once(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        assert schedule.slot is not None
        await engine.clock.sleep((schedule.slot - engine.clock.now()).total_seconds() + 1)
        subscriptions = engine.bus.detach()
        successor = LocalWorker(engine.services, LocalBus(), schedules=True)
        began_s = engine.loop.now_s
        await successor.start()
        await engine.clock.sleep(1)
        await successor.close()
        engine.bus.attach(subscriptions)
        run = await run_of(engine, scheduled_run_id(schedule.schedule_id, schedule.slot))
        assert run.status is RunStatus.RUNNING
        assert engine.loop.now_s - began_s < 1.1

    engine.run_scenario(scenario)


def test_the_event_of_a_firing_says_how_late_it_was_accepted_without_its_jitter(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, jitter_s=600)
        assert schedule.slot is not None
        assert schedule.due_at is not None
        assert schedule.due_at > schedule.slot, "this org and pipeline have a jitter"
        await engine.clock.sleep((schedule.due_at - engine.clock.now()).total_seconds() + 42)
        assert (await fire_due(engine.services)).fired == 1
        (event,) = [orjson.loads(each) for each in engine.events if b"run.queued" in each]
        assert event["data"]["delay_ms"] == 42_000

    engine.run_scenario(scenario)


def test_many_ticks_at_once_make_one_run(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        done = await asyncio.gather(*(fire_due(engine.services) for _ in range(5)))
        assert sum(each.fired for each in done) == 1
        runs = (await engine.documents.query("runs", limit=10)).documents
        assert len(runs) == 1
        assert (await stored(engine, schedule)).active_runs == (runs[0].data["run_id"],)

    engine.run_scenario(scenario)


def test_a_lost_answer_of_the_firings_commit_makes_no_second_run(engine: Engine) -> None:
    engine.pipeline(one())
    lost = iter([True])

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        commit = engine.documents.commit

        async def losing(writes: Any) -> Any:
            answer = await commit(writes)
            if len(writes) > 1 and next(lost, False):
                raise Transient("the answer was lost")
            return answer

        engine.documents.commit = losing  # type: ignore[method-assign]
        await fire_due(engine.services)
        engine.documents.commit = commit  # type: ignore[method-assign]
        assert (await fire_due(engine.services)).fired == 0
        assert len((await engine.documents.query("runs", limit=10)).documents) == 1
        assert (await stored(engine, schedule)).slot == (schedule.slot or schedule.created_at) + timedelta(hours=1)

    engine.run_scenario(scenario)


def test_thirty_firings_of_several_orgs_are_one_commit(engine: Engine) -> None:
    engine.pipeline(one())
    commits = []

    async def scenario() -> None:
        for number in range(3):
            await engine.org(f"org{number}")
            for each in range(10):
                await add(engine, org=f"org{number}", name=f"n{each}")
        await engine.clock.sleep(3601)
        commit = engine.documents.commit

        async def counting(writes: Any) -> Any:
            commits.append(len(writes))
            return await commit(writes)

        engine.documents.commit = counting  # type: ignore[method-assign]
        assert (await fire_due(engine.services)).fired == 30

    engine.run_scenario(scenario)
    assert commits == [3, 63], "three queues are created once; 30 schedules, 30 runs, 3 marks"


def test_a_tick_decides_every_schedule_that_is_due(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.engine.schedules.fire._PAGE", 2)
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        for number in range(5):
            await add(engine, name=f"n{number}")
        await engine.clock.sleep(3601)
        assert (await fire_due(engine.services)).fired == 5
        assert (await fire_due(engine.services)).fired == 0

    engine.run_scenario(scenario)


def test_a_skip_is_recorded_as_a_run_that_was_not_started(engine: Engine) -> None:
    engine.pipeline(one())

    engine.bus.detach()  # nothing starts by itself

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.SKIP)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await engine.clock.sleep(3600)
        assert (await fire_due(engine.services)).skipped == 1
        after = await stored(engine, schedule)
        assert after.last_skip is not None
        skipped = await run_of(engine, scheduled_run_id(schedule.schedule_id, after.last_skip.last))
        assert skipped.status is RunStatus.SKIPPED
        assert skipped.terminal
        assert skipped.check_at is None
        assert "was still active" in skipped.transitions[-1][2]

    engine.run_scenario(scenario)


def test_a_clock_that_is_set_back_fires_nothing_twice(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.QUEUE)
        assert schedule.slot is not None
        await engine.clock.sleep((schedule.slot - engine.clock.now()).total_seconds() + 1)
        assert (await fire_due(engine.services)).fired == 1
        behind = replace(engine.services, clock=engine.clock.skewed(-3 * 3_600))
        for _ in range(3):  # up to the instant that has been fired
            assert (await fire_due(behind)).fired == 0
            await engine.clock.sleep(3_600)
        assert (await fire_due(behind)).fired == 0
        await engine.clock.sleep(3_600)
        assert (await fire_due(behind)).fired == 1
        assert (await stored(engine, schedule)).decided_through == schedule.slot + timedelta(hours=1)

    engine.run_scenario(scenario)
