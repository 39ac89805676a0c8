"""Admission: limits and caps hold, nothing is forgotten, and orgs get their share."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from convergence.config.files.models import ProviderLine, Providers
from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.engine.cancel import cancel
from convergence.engine.finish_run import finish_run
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import enqueue
from convergence.engine.queue.wake import wake_due
from convergence.engine.reconcile import reconcile
from convergence.engine.replay import replay
from convergence.engine.store import read_run
from convergence.errors import QuotaExceeded
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.queueing import end, held, queue_run, status, still
from tests.unit.engine.works import one


def test_runs_over_the_orgs_limit_wait_and_start_when_one_ends(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        runs = [await queue_run(engine, "small") for _ in range(3)]
        assert (await admission_pass(engine.services)).runs == 1
        running = [run for run in runs if await status(engine, run) is RunStatus.RUNNING]
        assert len(running) == 1
        queue = await engine.data("org_queues/small")
        assert "ready" not in queue, "a blocked org must not stand at the head of the ready ones"
        assert "Concurrent pipeline limit (1) reached" in queue["reason"]
        assert (await admission_pass(engine.services)).runs == 0
        await end(engine, running[0].run_id)
        assert (await admission_pass(engine.services)).runs == 1

    engine.run_scenario(scenario)


def test_a_lost_hint_is_made_up_for_within_a_minute(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        first, second = [await queue_run(engine, "small") for _ in range(2)]
        await admission_pass(engine.services)
        stored = await read_run(engine.services, first.run_id)
        assert stored is not None
        await finish_run(engine.services, stored)  # and its hint is lost
        assert (await admission_pass(engine.services)).runs == 0
        await engine.clock.sleep(61)
        assert await wake_due(engine.services) == 1
        assert (await admission_pass(engine.services)).runs == 1
        assert await status(engine, second) is RunStatus.RUNNING

    engine.run_scenario(scenario)


def test_priorities_come_first_and_the_lowest_never_starves(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        await engine.org("big", concurrent=1, daily=1000)
        backfill = await queue_run(engine, "big", Priority.BACKFILL)
        scheduled = [await queue_run(engine, "big") for _ in range(12)]
        urgent = await queue_run(engine, "big", Priority.INTERACTIVE)
        order = []
        for _ in range(14):
            await admission_pass(engine.services)
            (active,) = (await engine.data("orgs/big/usage/current"))["active"]
            order.append(active)
            await end(engine, active)
        assert order[0] == urgent.run_id
        assert order.index(backfill.run_id) == 7, "every eighth admission is for the least urgent class"
        rest = [run.run_id for run in scheduled]
        assert [each for each in order if each in rest] == rest

    engine.run_scenario(scenario)


def test_a_provider_cap_holds_over_all_orgs_and_blocks_only_its_own_runs(engine: Engine) -> None:
    engine.pipeline(one())
    engine.pipeline(one(), "q/d/n")
    registry = Providers(providers={"p": ProviderLine(type="llm", max_concurrent_runs=2)})
    engine.services = replace(engine.services, providers=lambda: registry)
    still(engine)

    async def scenario() -> None:
        runs = []
        for number in range(4):
            await engine.org(f"org{number}")
            runs.append(await queue_run(engine, f"org{number}"))
        assert (await admission_pass(engine.services)).runs == 2
        running = [run for run in runs if await status(engine, run) is RunStatus.RUNNING]
        assert len(await held(engine, "provider-p")) == 2
        blocked = await engine.data("org_queues/org3")
        assert blocked["blocked_on"] == ["provider-p"]
        with pytest.raises(QuotaExceeded, match=r"provider p \(2\)"):
            await engine.start(org="acme")
        await end(engine, running[0].run_id)
        assert len(await held(engine, "provider-p")) == 1
        assert (await admission_pass(engine.services)).runs == 1

    engine.run_scenario(scenario)


def test_a_direct_start_over_the_limit_queues_when_it_asks_to(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        await engine.start(org="small")
        with pytest.raises(QuotaExceeded):
            await engine.start(org="small")
        waiting = await engine.start(org="small", queue=True, idempotency_key="k1")
        assert waiting.status is RunStatus.QUEUED
        again = await engine.start(org="small", queue=True, idempotency_key="k1")
        assert again.run_id == waiting.run_id

    engine.run_scenario(scenario)


def test_a_queue_takes_so_many_runs_of_an_org_and_no_more(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.engine.queue.enqueue.WAITING_MAX", 3)
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        first = await engine.start(org="small")
        for number in range(3):
            await engine.start(org="small", queue=True, idempotency_key=f"k{number}")
        with pytest.raises(QuotaExceeded, match="small has 3 runs in its queue"):
            await engine.start(org="small", queue=True)
        again = await engine.start(org="small", queue=True, idempotency_key="k2")
        assert again.status is RunStatus.QUEUED
        await queue_run(engine)  # another org has a queue of its own
        await end(engine, first.run_id)
        await admission_pass(engine.services)
        assert (await engine.start(org="small", queue=True)).status is RunStatus.QUEUED

    engine.run_scenario(scenario)


def test_an_admitted_run_still_says_who_asked_for_it(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        run = await queue_run(engine, trigger="api", created_by="key_1")
        assert (await admission_pass(engine.services)).runs == 1
        found = await read_run(engine.services, run.run_id)
        assert found is not None
        assert (found.run.trigger, found.run.created_by) == ("api", "key_1")

    engine.run_scenario(scenario)


def test_a_queued_run_is_cancelled_and_its_place_in_the_line_is_gone(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        run = await queue_run(engine)
        await cancel(engine.services, "acme", run.run_id)
        assert await status(engine, run) is RunStatus.CANCELLED
        assert (await admission_pass(engine.services)).runs == 0
        assert (await engine.data("org_queues/acme"))["waiting_pools"] == {}
        again = await replay(engine.services, "acme", run.run_id)
        assert (again.status, again.plan_epoch) == (RunStatus.RUNNING, 1)

    engine.run_scenario(scenario)


def test_a_run_that_waited_a_day_fails_with_a_dead_letter(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        await engine.start(org="small")
        waiting = await engine.start(org="small", queue=True)
        await engine.clock.sleep(86_401)
        await reconcile(engine.services)
        found = await read_run(engine.services, waiting.run_id)
        assert found is not None
        assert found.run.error is not None
        assert (found.run.status, found.run.error["code"]) == (RunStatus.FAILED, "queue.timeout")
        assert await engine.documents.get(f"dead_letters/{waiting.run_id}._run.0") is not None

    engine.run_scenario(scenario)


def test_a_run_whose_pipeline_broke_while_it_waited_fails_and_the_next_one_starts(engine: Engine) -> None:
    engine.pipeline(one())
    engine.pipeline(one(), "p/d/other")
    still(engine)

    async def scenario() -> None:
        broken = await queue_run(engine)
        prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="p/d/other"))
        good = await enqueue(engine.services, prepared.run, Priority.SCHEDULED)
        del engine.pipelines.loaded["p/d/n"]
        assert (await admission_pass(engine.services)).runs == 1
        assert await status(engine, broken) is RunStatus.FAILED
        assert await status(engine, good) is RunStatus.RUNNING

    engine.run_scenario(scenario)


def test_of_two_queued_runs_of_a_pipeline_that_runs_once_one_runs(engine: Engine) -> None:
    engine.pipeline("execution: {run_once: true}\n" + one())
    still(engine)

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        first, second = [await queue_run(engine, "small") for _ in range(2)]
        await admission_pass(engine.services)
        await end(engine, first.run_id)
        assert (await admission_pass(engine.services)).runs == 0
        refused = await read_run(engine.services, second.run_id)
        assert refused is not None
        assert refused.run.error is not None
        assert f"run {first.run_id} completed it" in refused.run.error["message"]

    engine.run_scenario(scenario)


def test_two_passes_at_once_admit_each_run_once(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        other = replace(engine.services, owner="boot2", cache=type(engine.services.cache)())
        for number in range(6):
            await engine.org(f"org{number}", concurrent=2)
            for _ in range(3):
                await queue_run(engine, f"org{number}")
        done = await asyncio.gather(admission_pass(engine.services), admission_pass(other))
        assert sum(each.runs for each in done) == 12
        for number in range(6):
            assert len((await engine.data(f"orgs/org{number}/usage/current"))["active"]) == 2

    engine.run_scenario(scenario)


def test_an_enqueue_between_the_look_and_the_commit_is_not_forgotten(engine: Engine) -> None:
    """The queue is read before its runs: clearing it fails when a run came in between."""
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        run = await queue_run(engine)
        await cancel(engine.services, "acme", run.run_id)
        query = engine.documents.query
        added: list[Run] = []

        async def enqueuing(collection: str, **asked: Any) -> Any:
            page = await query(collection, **asked)
            if collection == "runs" and not added:
                added.append(await queue_run(engine))
            return page

        engine.documents.query = enqueuing  # type: ignore[method-assign]
        await admission_pass(engine.services)
        assert await status(engine, added[0]) is RunStatus.RUNNING

    engine.run_scenario(scenario)
