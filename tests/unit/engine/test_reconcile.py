"""One look of the reconciler at one run, without the net that keeps a failing look from others."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import orjson
import pytest

from convergence.domain.times import to_text
from convergence.engine.cancel import cancel
from convergence.engine.reconcile import next_check, reconcile, reconcile_run
from convergence.errors import StepFailed, Transient
from convergence.ports.bus import STEP_READY
from convergence.ports.documents import Patch
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one


def hinted(engine: Engine) -> list[str]:
    steps: list[str] = []
    engine.bus.tap(STEP_READY, lambda messages: steps.extend(orjson.loads(each.data)["step_id"] for each in messages))
    return steps


def test_what_is_ready_is_sent_again_and_looked_at_in_a_minute(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> Any:
        engine.bus.detach()
        run = await engine.start()
        steps = hinted(engine)
        await engine.clock.sleep(10)
        await reconcile_run(engine.services, run.run_id)
        due = await next_check(engine.services)
        return steps, due, engine.clock.now() + timedelta(seconds=60)

    steps, due, expected = engine.run_scenario(scenario)
    assert (steps, due) == (["extract_a"], expected)


def test_the_next_look_is_at_the_run_that_is_due_first(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> Any:
        engine.bus.detach()
        assert await next_check(engine.services) is None
        dues = []
        for seconds in (300, 100, 200):
            run = await engine.start()
            due = engine.clock.now() + timedelta(seconds=seconds)
            await engine.documents.commit([Patch(run.path, {("check_at",): to_text(due)})])
            dues.append(due)
        return await next_check(engine.services), min(dues)

    due, first = engine.run_scenario(scenario)
    assert due == first


def test_a_pass_looks_at_the_due_runs_of_all_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.engine.reconcile._PAGE", 2)
    engine.pipeline(one())

    async def scenario() -> Any:
        engine.bus.detach()
        for _ in range(5):
            await engine.start()
        steps = hinted(engine)
        await engine.clock.sleep(61)
        return await reconcile(engine.services), steps

    assert engine.run_scenario(scenario) == (5, ["load_a"] * 5)


def test_a_run_gets_the_error_of_the_step_that_failed(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("no such report"))

    async def scenario() -> Any:
        run = await engine.run()
        now = to_text(engine.clock.now())
        lost: dict[tuple[str, ...], Any] = {
            ("status",): "running",
            ("error",): None,
            ("finished_at",): None,
            ("check_at",): now,
        }
        await engine.documents.commit([Patch(run.path, lost)])  # as if the run's own commit had been lost
        await reconcile_run(engine.services, run.run_id)
        return run.error, await engine.data(run.path)

    error, data = engine.run_scenario(scenario)
    assert (data["status"], data["error"]) == ("failed", error)


def test_a_run_whose_steps_are_all_done_is_ended_should_its_own_commit_be_lost(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> Any:
        run = await engine.run()
        engine.bus.detach()
        lost: dict[tuple[str, ...], Any] = {
            ("status",): "running",
            ("finished_at",): None,
            ("check_at",): to_text(engine.clock.now()),
        }
        await engine.documents.commit([Patch(run.path, lost)])
        await reconcile_run(engine.services, run.run_id)
        return await engine.data(run.path)

    data = engine.run_scenario(scenario)
    assert (data["status"], data["transitions"][-1][1:]) == ("completed", ["completed", "all steps done"])


def test_a_run_is_looked_at_again_when_its_next_attempt_is_due(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 40}))
    engine.works["load_a"] = failing(Transient("busy"))

    async def scenario() -> Any:
        run = await engine.start()
        await engine.clock.sleep(1)
        step = await engine.data(f"{run.path}/steps/load_a")
        engine.bus.detach()
        steps = hinted(engine)
        await reconcile_run(engine.services, run.run_id)
        return steps, step["not_before"], (await engine.data(run.path))["check_at"]

    steps, not_before, check_at = engine.run_scenario(scenario)
    assert (steps, check_at) == ([], not_before)


def test_of_two_passes_that_count_a_runs_rows_one_tells_it(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> int:
        run = await engine.start()
        await engine.clock.sleep(1)
        engine.events.clear()
        read, both = engine.documents.query, asyncio.Barrier(2)

        async def together(collection: str, **words: Any) -> Any:
            found = await read(collection, **words)
            if collection == f"{run.path}/steps":
                await both.wait()  # each has read before the other one writes
            return found

        engine.documents.query = together  # type: ignore[method-assign]
        await asyncio.gather(*(reconcile_run(engine.services, run.run_id) for _ in range(2)))
        return sum(b"run.counted" in each for each in engine.events)

    assert engine.run_scenario(scenario) == 1


def test_a_run_that_no_worker_began_gets_its_time_and_its_first_steps(engine: Engine) -> None:
    engine.pipeline(TWO + "timeout_minutes: 10\n")

    async def scenario() -> Any:
        engine.bus.detach()
        run = await engine.start()
        steps = hinted(engine)
        await engine.clock.sleep(3600)
        await reconcile_run(engine.services, run.run_id)
        data, usage = await engine.data(run.path), await engine.data("orgs/acme/usage/current")
        deadline_at = engine.clock.now() + timedelta(minutes=10)
        return steps, data["deadline_at"], usage["active"][run.run_id], deadline_at

    steps, deadline_at, until, expected = engine.run_scenario(scenario)
    assert (steps, deadline_at) == (["extract_a"], to_text(expected))
    assert until == to_text(expected + timedelta(seconds=90))


def test_a_cancelled_run_gives_its_place_back(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> Any:
        engine.bus.detach()
        run = await engine.start()
        before = (await engine.data("orgs/acme/usage/current"))["active"]
        await cancel(engine.services, "acme", run.run_id)
        return run.run_id, before, (await engine.data("orgs/acme/usage/current"))["active"]

    run_id, before, after = engine.run_scenario(scenario)
    assert (list(before), after) == ([run_id], {})


def test_a_step_that_waits_for_its_next_attempt_says_why_and_until_when(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 40}))
    engine.works["load_a"] = failing(Transient("busy"), times=1)

    async def scenario() -> Any:
        run = await engine.start()
        await engine.worker.start()
        await engine.clock.sleep(1)
        waiting = await engine.data(f"{run.path}/steps/load_a")
        await engine.worker.wait("acme", run.run_id)
        return waiting, await engine.data(f"{run.path}/steps/load_a")

    waiting, done = engine.run_scenario(scenario)
    assert (waiting["status"], waiting["failures"], waiting["error"]["message"]) == (
        "retrying",
        1,
        "generic.noop: busy",
    )
    at, _, reason = waiting["transitions"][-1]
    assert reason == "attempt 1 of 3 failed: generic.noop: busy"
    assert "2026-03-01T00:00:20" <= waiting["not_before"] <= "2026-03-01T00:00:41"
    assert at < waiting["not_before"]
    assert (done["status"], done["crashes"], done["error"]) == ("completed", 0, None)
    assert len(done["transitions"]) == 4  # claimed, retried, claimed, done


def test_two_ticks_share_the_work_at_more_than_200_runs_a_second_where_a_call_takes_10_ms(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> tuple[float, Counter[str]]:
        await engine.org("busy", daily=1_000, concurrent=1_000)
        engine.bus.detach()
        for _ in range(400):
            await engine.start(org="busy")
        await engine.clock.sleep(61)
        looked_at: Counter[str] = Counter()
        engine.bus.tap(STEP_READY, lambda messages: looked_at.update(each.attributes["run_id"] for each in messages))
        for name in ("get", "get_many", "query", "commit"):
            setattr(engine.documents, name, slowed(engine, getattr(engine.documents, name)))
        began = engine.clock.now()
        await asyncio.gather(reconcile(engine.services), reconcile(engine.services))
        return (engine.clock.now() - began).total_seconds(), looked_at

    seconds, looked_at = engine.run_scenario(scenario)
    assert len(looked_at) == 400
    assert looked_at.total() < 1.2 * 400, "overlapping ticks repeat the work"
    assert 400 / seconds > 200


def slowed(engine: Engine, call: Any) -> Any:
    async def answer(*args: Any, **given: Any) -> Any:
        await engine.clock.sleep(0.01)
        return await call(*args, **given)

    return answer
