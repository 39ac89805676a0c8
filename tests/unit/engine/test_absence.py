"""Deadlines and the time in which no worker was there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.times import to_text
from convergence.engine.absence import MARK, MARK_EVERY_S, note_alive
from convergence.engine.cancel import cancel
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.enqueue import enqueue
from convergence.engine.reconcile import reconcile
from convergence.engine.services import EngineSettings
from convergence.ports.documents import Patch
from convergence.worker import LocalWorker
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import one

HOUR_S = 3600.0


async def accepted_before_a_stop(engine: Engine) -> Any:
    """Accept a run, go on for a minute without beginning it, then stop."""
    engine.pipeline("timeout_minutes: 10\n" + one())
    subscriptions = engine.bus.detach()
    await engine.worker.start()
    run = await engine.start()
    await engine.clock.sleep(30)
    assert engine.worker.reconciling is not None
    engine.worker.reconciling.cancel()
    engine.bus.attach(subscriptions)
    return run


def restarted(engine: Engine) -> LocalWorker:
    sole = replace(engine.services, settings=EngineSettings(sole_process=True), owner="boot2")
    engine.bus = type(engine.bus)()
    engine.worker = LocalWorker(replace(sole, bus=engine.bus), engine.bus)
    return engine.worker


@pytest.mark.parametrize("starts", [1, 3])
def test_a_server_that_was_down_for_longer_than_a_runs_timeout_goes_on_with_it(engine: Engine, starts: int) -> None:
    async def scenario() -> Any:
        run = await accepted_before_a_stop(engine)
        await engine.clock.sleep(2 * HOUR_S)
        for _ in range(starts):
            worker = restarted(engine)
            engine.bus.detach() if starts > 1 else None
            await worker.start()
        moved = await engine.data(run.path)
        usage = await engine.data("orgs/acme/usage/current")
        ended = await worker.wait("acme", run.run_id, timeout_s=100)
        return run, moved, usage, ended

    run, moved, usage, ended = engine.run_scenario(scenario)
    later = run.deadline_at + timedelta(hours=2)
    assert later <= type(ended).from_data(moved).deadline_at <= later + timedelta(seconds=30)
    assert usage["active"][run.run_id] > moved["deadline_at"]
    assert ended.status == ("completed" if starts == 1 else "running")


def test_a_queued_run_of_an_org_that_never_ran_does_not_hold_up_the_start(engine: Engine) -> None:
    """It holds no place that could be moved; the first server after it must start all the same."""

    async def scenario() -> Any:
        engine.pipeline(one())
        engine.bus.detach()
        await engine.worker.start()
        prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="p/d/n"))
        run = await enqueue(engine.services, prepared.run)
        assert engine.worker.reconciling is not None
        engine.worker.reconciling.cancel()
        await engine.clock.sleep(2 * HOUR_S)
        worker = restarted(engine)
        await worker.start()
        return run, await worker.wait("acme", run.run_id, timeout_s=100)

    run, ended = engine.run_scenario(scenario)
    assert ended.status == "completed"
    assert run.run_id == ended.run_id


def test_a_clock_that_is_set_forward_fails_no_run(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> Any:
        run = await accepted_before_a_stop(engine)
        worker = restarted(engine)
        subscriptions = engine.bus.detach()  # it waits in the process for longer than any hint
        await worker.start()
        await engine.clock.sleep(31)
        now = engine.clock.now
        monkeypatch.setattr(engine.clock, "now", lambda: now() + timedelta(days=1))
        engine.bus.attach(subscriptions)
        return await worker.wait("acme", run.run_id, timeout_s=300)

    assert engine.run_scenario(scenario).status == "completed"


def test_in_the_cloud_a_run_that_never_began_gets_its_full_time_once(engine: Engine) -> None:
    async def scenario() -> list[Any]:
        run = await accepted_before_a_stop(engine)
        engine.bus.detach()
        seen = []
        for _ in range(2):
            await engine.clock.sleep(HOUR_S)
            await reconcile(engine.services)
            data = await engine.data(run.path)
            seen.append((data["status"], (data["error"] or {}).get("code")))
        return seen

    assert engine.run_scenario(scenario) == [("running", None), ("failed", "run.timeout")]


def test_end_steps_of_a_run_that_ended_before_a_stop_keep_their_time(engine: Engine) -> None:
    async def scenario() -> Any:
        run = await accepted_before_a_stop(engine)
        await cancel(engine.services, "acme", run.run_id)
        before = await engine.data(run.path)
        await engine.clock.sleep(HOUR_S)
        await note_alive(engine.services, started=True)
        return before, await engine.data(run.path), engine.clock.now()

    before, after, now = engine.run_scenario(scenario)
    assert after == before | {"deadline_set_at": to_text(now)}


def test_a_run_that_cannot_be_read_holds_up_no_other(engine: Engine) -> None:
    async def scenario() -> Any:
        engine.pipeline(one())
        engine.bus.detach()
        broken, healthy = await engine.start(), await engine.start()
        await note_alive(engine.services, started=True)
        early = Patch(broken.path, {("deadline_at",): None, ("check_at",): to_text(engine.clock.now())})
        await engine.documents.commit([early])  # it is the first that is looked at
        await engine.clock.sleep(HOUR_S)
        await note_alive(engine.services, started=True)
        return healthy, await engine.data(healthy.path)

    run, moved = engine.run_scenario(scenario)
    assert moved["deadline_at"] >= to_text(run.deadline_at + timedelta(hours=1))


def test_a_mark_is_not_written_again_before_it_is_due(engine: Engine) -> None:
    async def scenario() -> list[int]:
        versions = []
        for wait_s in (0, 0, MARK_EVERY_S - 1, 1):
            await engine.clock.sleep(wait_s)
            await note_alive(engine.services)
            mark = await engine.documents.get(MARK)
            assert mark is not None
            versions.append(mark.version)
        return versions

    first, at_once, early, due = engine.run_scenario(scenario)
    assert first == at_once == early != due
