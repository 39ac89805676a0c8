"""Processes die while steps run: which steps are blamed, which go on (design: docs/engine.md §13)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from convergence.domain.status import StepStatus
from convergence.domain.step import Step
from convergence.engine.dead_letters.find import Filter
from convergence.engine.executions import Executions
from convergence.engine.messages import StepReady
from convergence.engine.services import EngineSettings, ProcessCache, Services
from convergence.engine.step.run_step import run_step
from convergence.engine.views.dead_letters import dead_letters as dead_letters_of
from convergence.engine.views.runs import status
from convergence.ports.bus import Ack, Answer, Retry
from convergence.ports.documents import Create
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import failing, one

EMBEDDED = EngineSettings(sole_process=True, proven_after_s=30.0, isolation_wait_s=3600.0)
SIDE_BY_SIDE = "steps:\n  - {step_id: a, ps_type: generic.noop}\n  - {step_id: b, ps_type: generic.noop}\n"


class Died(BaseException):
    """Stands for the end of the process."""


class Server:
    """One process after the other on the same state; this test delivers by hand."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        engine.bus.detach()
        self._boots = 0
        self.services = self.boot()

    def boot(self) -> Services:
        self._boots += 1
        boot = replace(self._engine.services, settings=EMBEDDED, owner=f"boot{self._boots}", cache=ProcessCache())
        boot.cache.executions.up_s()
        return boot

    async def deliver(self, run_id: str, step_id: str = "load_a") -> Answer | None:
        """Deliver once; None when the process died of it, and the next one is up."""
        try:
            return await run_step(self.services, StepReady(run_id, step_id, 0))
        except Died:
            self.services = self.boot()
            return None

    async def live_with(self, run_id: str, step_id: str = "load_a", *, deaths_max: int = 40) -> int:
        """Deliver until the step has ended, each time as soon as asked; return how often a process died."""
        deaths = 0
        while deaths <= deaths_max:
            answer = await self.deliver(run_id, step_id)
            if answer is None:
                deaths += 1
            elif isinstance(answer, Retry):
                await self._engine.clock.sleep(answer.after_s or 10.0)
            else:
                return deaths
        raise AssertionError(f"{deaths} processes died, and the step goes on killing them")


@pytest.mark.parametrize("lives_s", [0.0, 10.0, 45.0])
def test_a_step_that_kills_every_process_is_found_and_says_how_often(engine: Engine, lives_s: float) -> None:
    engine.pipeline(one())

    async def kill(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(lives_s)
        raise Died

    engine.works["load_a"] = kill

    async def scenario() -> tuple[int, Any, Any]:
        server, run = Server(engine), await engine.start()
        deaths = await server.live_with(run.run_id)
        return (
            deaths,
            await status(engine.services, "acme", run.run_id),
            await dead_letters_of(engine.services, Filter(org="acme")),
        )

    deaths, view, dead_letters = engine.run_scenario(scenario)
    step = view["steps"][0]
    assert deaths <= 5 + 2 + 5
    message = f"generic.noop: attempt 1 of 1: its process died {deaths} times, 5 of them while it ran alone"
    assert (view["status"], step["status"], step["error_message"]) == ("failed", "failed", message)
    assert (step["attempts"], step["crashes"], step["crashes_when_isolated"]) == (1, deaths, 5)
    (dead_letter,) = dead_letters["dead_letters"]
    assert (dead_letter["code"], dead_letter["attempts"], dead_letter["error_message"]) == (
        "step.crashed_often",
        1,
        message,
    )


def test_a_server_that_is_killed_thirty_times_soon_after_its_starts_fails_no_step(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(Died(), times=30)

    async def scenario() -> tuple[int, Any]:
        server, run, deaths = Server(engine), await engine.start(), 0
        while deaths < 30:
            answer = await server.deliver(run.run_id)
            deaths += answer is None
            if isinstance(answer, Retry):
                await engine.clock.sleep(answer.after_s or 10.0)
                server.services = server.boot()  # each process is young when the step is due
        assert isinstance(await server.deliver(run.run_id), Retry)
        await engine.clock.sleep(60)
        assert await server.deliver(run.run_id) == Ack()
        return deaths, await engine.data(run.path)

    deaths, run = engine.run_scenario(scenario)
    assert (deaths, run["status"]) == (30, "completed")


def test_status_shows_the_crashes_and_the_next_try(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 1}))
    engine.works["load_a"] = failing(Died())

    async def scenario() -> Any:
        server, run = Server(engine), await engine.start()
        for _ in range(3):
            await server.deliver(run.run_id)
            await engine.clock.sleep(0.5)
        return await status(engine.services, "acme", run.run_id)

    view = engine.run_scenario(scenario)
    step = view["steps"][0]
    assert (step["status"], step["attempts"], step["crashes"]) == ("retrying", 1, 1)
    assert step["next_attempt_at"] == "2026-03-01T00:00:02.500000Z"
    assert view["waits_for"] == "load_a: attempt 1 of 3 again, its process died once, at 2026-03-01T00:00:02.500000Z"


def test_a_suspect_lets_the_others_end_and_then_nothing_begins_beside_it(engine: Engine) -> None:
    engine.pipeline(SIDE_BY_SIDE + "  - {step_id: c, ps_type: generic.noop}\n")
    moves: list[tuple[float, str]] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        moves.append((engine.loop.now_s, f"{context.step_id} begins"))
        await context.sleep(100)
        moves.append((engine.loop.now_s, f"{context.step_id} ends"))
        return {"status": "SUCCESS"}

    engine.works |= dict.fromkeys("abc", work)

    async def scenario() -> Any:
        server, run = Server(engine), await engine.start()
        await engine.clock.sleep(31)
        await server.deliver(run.run_id, "nothing")
        beside = asyncio.create_task(server.deliver(run.run_id, "a"))
        await engine.clock.sleep(1)
        await _suspect(engine, run.path, "b")
        assert (await status(engine.services, "acme", run.run_id))["waits_for"] is None  # a is at work
        alone = asyncio.create_task(server.deliver(run.run_id, "b"))
        await engine.clock.sleep(1)
        later = asyncio.create_task(server.deliver(run.run_id, "c"))
        await asyncio.gather(beside, alone, later)
        return await engine.data(run.path)

    assert engine.run_scenario(scenario)["status"] == "completed"
    assert [move for _, move in moves] == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


def test_a_suspect_waits_until_its_process_has_proven_itself(engine: Engine) -> None:
    engine.pipeline(SIDE_BY_SIDE)

    async def scenario() -> tuple[Any, Any, Any]:
        server, run = Server(engine), await engine.start()
        await _suspect(engine, run.path, "b")
        view = await status(engine.services, "acme", run.run_id)
        young = await server.deliver(run.run_id, "b")
        await engine.clock.sleep(30)
        return view, young, await server.deliver(run.run_id, "b")

    view, young, later = engine.run_scenario(scenario)
    assert view["waits_for"] == "b: attempt 1 of 1 again, its process died 2 times, as soon as it can run alone"
    assert (young.after_s, later, engine.started) == (30.0, Ack(), ["b"])


async def _suspect(engine: Engine, run_path: str, step_id: str) -> None:
    """Give the step two crashes in proven processes."""
    step = Step(step_id=step_id, status=StepStatus.RETRYING, crashes=2, crashes_when_proven=2)
    await engine.documents.commit([Create(f"{run_path}/steps/{step_id}", step.to_data())])


def test_who_has_to_be_alone_gives_up_in_time_and_lets_the_others_in_again(engine: Engine) -> None:
    executions = Executions()

    async def scenario() -> list[Any]:
        async with executions.beside():
            async with executions.alone(50.0) as granted:
                assert (granted, engine.loop.now_s) == (False, 50.0)
            async with executions.beside():
                pass
        async with executions.alone(50.0) as first:
            waiting = asyncio.create_task(_alone(executions))
            await engine.clock.sleep(1)
        return [first, await waiting]

    assert engine.run_scenario(scenario) == [True, True]


async def _alone(executions: Executions) -> bool:
    async with executions.alone(5.0) as granted:
        return granted
