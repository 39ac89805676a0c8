"""Ticks that come faster than they are worked off."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from convergence.engine.tick import on_tick
from convergence.ports.bus import TICK, Ack, Delivery, Message
from convergence.ports.documents import Page
from tests.unit.engine.conftest import Engine


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
