"""Whose turn it is: orgs that wait for a place, and what holds up no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.domain.quota import Limits
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import enqueue
from convergence.engine.queue.wake import wake, wake_due
from convergence.engine.services import EngineSettings
from convergence.ports.documents import Delete, Document
from convergence.tenants.orgs import Org
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.queueing import end, held, queue_run, status, still
from tests.unit.engine.works import one


@pytest.fixture
def capped(tmp_path: Path) -> Engine:
    return Engine(tmp_path, EngineSettings(runs_max=20))


def test_waking_an_org_never_admits(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        run = await queue_run(engine)
        await wake(engine.services, "acme")
        assert await status(engine, run) is RunStatus.QUEUED

    engine.run_scenario(scenario)


def test_an_org_whose_runs_cannot_be_looked_at_holds_up_no_other(engine: Engine) -> None:
    engine.pipeline(one())
    still(engine)

    async def scenario() -> None:
        for org in ("gone", "other"):
            await engine.org(org)
            await queue_run(engine, org)
        document = await engine.documents.get("orgs/gone")
        assert document is not None
        await engine.documents.commit([Delete("orgs/gone", document.version)])
        assert (await admission_pass(engine.services)).runs == 1
        rests = await engine.data("org_queues/gone")
        assert "ready" not in rests
        assert "gone" in rests["reason"]
        assert rests["next_check_at"]

    engine.run_scenario(scenario)


def test_an_org_keeps_its_turn_when_the_last_place_is_free_again_at_once(capped: Engine) -> None:
    """Full when its turn came, free when the pass went on: the next org must not take its place."""
    capped.pipeline(one())
    still(capped)

    async def scenario() -> None:
        for org in ("first", "second"):
            await capped.org(org)
            await queue_run(capped, org)
        get_many, looks = capped.documents.get_many, 0

        async def full_at_the_second_look(paths: Any) -> Any:
            nonlocal looks
            looks += "caps/global.0" in paths
            if "caps/global.0" not in paths or looks != 2:
                return await get_many(paths)
            until = to_text(capped.clock.now() + timedelta(hours=1))
            full = {f"run_{number}": until for number in range(20)}
            return [Document(path, 1, {"held": full}) for path in paths]

        capped.documents.get_many = full_at_the_second_look  # type: ignore[method-assign]  # between two reads of one pass
        assert (await admission_pass(capped.services)).runs == 2

    capped.run_scenario(scenario)


def test_run_times_are_learned_while_the_org_is_ready(capped: Engine) -> None:
    """Under a cap of the installation an org with waiting runs is always ready."""
    capped.pipeline(one())
    still(capped)

    async def scenario() -> None:
        for _ in range(25):
            await queue_run(capped)
        await capped.services.orgs.change("acme", _unlimited, token="limits")
        await admission_pass(capped.services)
        assert (await capped.data("org_queues/acme"))["ready"]
        first = (await held(capped, "global"))[0]
        await capped.clock.sleep(600)
        await end(capped, first)
        assert (await capped.data("org_queues/acme"))["minutes"] == {"p/d/n": 10.0}

    capped.run_scenario(scenario)


def _unlimited(org: Org) -> Org:
    return replace(org, limits=Limits(daily=1000, monthly=1000, concurrent=1000))


def test_a_pipeline_at_its_limit_a_minute_holds_up_no_other_of_its_org(engine: Engine) -> None:
    engine.pipeline("rate_limit_per_minute: 2\n" + one())
    engine.pipeline(one(), "q/d/n")
    still(engine)

    async def scenario() -> None:
        limited = [await queue_run(engine) for _ in range(4)]
        await engine.clock.sleep(1)
        prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="q/d/n"))
        other = await enqueue(engine.services, prepared.run, Priority.SCHEDULED)
        assert (await admission_pass(engine.services)).runs == 3
        assert await status(engine, other) is RunStatus.RUNNING
        assert [await status(engine, run) for run in limited].count(RunStatus.QUEUED) == 2
        queue = await engine.data("org_queues/acme")
        assert "p/d/n may run at most 2 times a minute" in queue["reason"]
        await engine.clock.sleep(30.5)  # the next one may start: half a minute, not a whole one
        assert await wake_due(engine.services) == 1
        assert (await admission_pass(engine.services)).runs == 1

    engine.run_scenario(scenario)
