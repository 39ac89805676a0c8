"""Ticks that come faster than they are worked off."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.tick import admit_due, on_tick
from convergence.ports.bus import TICK, Ack, Delivery, Message
from convergence.ports.documents import Create, Page
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.queueing import queue_run, status
from tests.unit.engine.works import one


def test_of_many_ticks_in_a_process_one_works_one_waits_and_the_rest_is_done(engine: Engine) -> None:
    opened = asyncio.Event()
    query = engine.documents.query
    ticks: list[str] = []

    async def slow(collection: str, **asked: Any) -> Page:
        if collection == "schedule_requests":  # the first query of a tick
            ticks.append(collection)
            await opened.wait()
        return await query(collection, **asked)

    engine.documents.query = slow  # type: ignore[method-assign]
    engine.services = replace(engine.services)

    async def scenario() -> None:
        tick = Delivery(Message(b""), "m", 1, TICK)
        working = [asyncio.ensure_future(on_tick(engine.services, tick)) for _ in range(4)]
        await engine.clock.sleep(1)
        assert [each.done() for each in working] == [False, False, True, True]
        assert len(ticks) == 1
        working[1].cancel()  # the platform gave it up while it waited
        await engine.clock.sleep(1)
        after = asyncio.ensure_future(on_tick(engine.services, tick))
        opened.set()
        assert await after == Ack()
        assert await working[0] == Ack()
        assert len(ticks) == 2, "a tick that comes while one is at work is followed by a whole one"

    engine.run_scenario(scenario)


@pytest.mark.parametrize("path", ["backfills/bf_0", "dead_letter_replays/dlr_0"])
def test_work_that_cannot_be_read_holds_up_no_queue(engine: Engine, path: str) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        of_another_release = {"next_check_at": to_text(engine.clock.now()), "status": "of another release"}
        await engine.documents.commit([Create(path, of_another_release)])
        run = await queue_run(engine)
        assert await admit_due(engine.services) == 1
        assert await status(engine, run) is RunStatus.RUNNING

    engine.run_scenario(scenario)
