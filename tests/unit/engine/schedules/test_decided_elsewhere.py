"""What a firing meets that others did meanwhile, and what it takes over from its schedule."""

from __future__ import annotations

from typing import Any

import pytest

from convergence.domain.schedule import Overlap, scheduled_run_id
from convergence.domain.status import RunStatus
from convergence.engine.finish_run import finish_run
from convergence.engine.schedules import sync
from convergence.engine.schedules.change import ScheduleChange, add_schedule
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.store import schedules_of
from convergence.engine.store import read_run
from convergence.engine.tick import admit_due
from convergence.errors import InvalidInput
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, run_of, stored
from tests.unit.engine.works import one


def test_each_schedule_that_another_instance_decided_first_counts(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        for name in ("first", "second", "third"):
            await add(engine, name=name)
        await engine.clock.sleep(3601)
        commit = engine.documents.commit

        async def later(writes: Any) -> Any:
            if any(each.path.startswith("schedules/") for each in writes):
                engine.documents.commit = commit  # type: ignore[method-assign]  # of this one engine
                assert (await fire_due(engine.services)).fired == 3, "another instance"
            return await commit(writes)

        engine.documents.commit = later  # type: ignore[method-assign]  # of this one engine
        done = await fire_due(engine.services)
        assert (done.fired, done.conflicts) == (0, 3)

    engine.run_scenario(scenario)


def test_a_firing_has_the_credential_and_the_time_zone_of_its_schedule(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        store = engine.services.credentials.store
        _, second = [await store("acme", "p", "key", name=name) for name in ("first", "second")]
        change = ScheduleChange(cron="0 * * * *", timezone="Asia/Tokyo")
        schedule = await add_schedule(engine.services, "acme", "p/d/n", "mine", change, credential_id=second)
        assert schedule.slot is not None
        await engine.clock.sleep(3601)
        assert (await fire_due(engine.services)).fired == 1
        run = await run_of(engine, scheduled_run_id(schedule.schedule_id, schedule.slot))
        assert (run.credential_id, run.timezone) == (second, "Asia/Tokyo")

    engine.run_scenario(scenario)


@pytest.mark.parametrize("of", ["another provider", "nothing"])
def test_a_schedule_with_a_credential_that_its_pipeline_cannot_use_is_refused(engine: Engine, of: str) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        theirs = await engine.services.credentials.store("acme", "q", "key", name="default")
        credential_id = theirs if of == "another provider" else "crd_nope"
        with pytest.raises(InvalidInput, match="acme has no p credential of this id"):
            await add_schedule(
                engine.services,
                "acme",
                "p/d/n",
                "mine",
                ScheduleChange(cron="0 * * * *"),
                credential_id=credential_id,
            )
        assert await schedules_of(engine.services, "acme") == []

    engine.run_scenario(scenario)


def test_a_run_that_ends_before_a_firing_can_cancel_it_stays_as_it_ended(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.CANCEL_RUNNING)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await admit_due(engine.services)
        (first,) = (await stored(engine, schedule)).active_runs
        await engine.clock.sleep(3600)
        get_many = engine.documents.get_many

        async def looked(paths: Any) -> Any:
            found = await get_many(paths)
            engine.documents.get_many = get_many  # type: ignore[method-assign]  # of this one engine
            run = await read_run(engine.services, first)
            assert run is not None
            await finish_run(engine.services, run)
            return found

        engine.documents.get_many = looked  # type: ignore[method-assign]  # of this one engine
        assert (await fire_due(engine.services)).fired == 1
        assert (await run_of(engine, first)).status is RunStatus.COMPLETED

    engine.run_scenario(scenario)


def test_a_schedule_keeps_its_provider_when_its_file_changes(engine: Engine) -> None:
    engine.pipeline('schedule: {cron: "0 2 * * *"}\n' + one())

    async def scenario() -> None:
        await sync.sync_org(engine.services, "acme")
        engine.pipeline('schedule: {cron: "0 3 * * *"}\n' + one())
        assert (await sync.sync_org(engine.services, "acme")).updated == 1
        ((schedule, _),) = await schedules_of(engine.services, "acme")
        assert (schedule.timing.cron, schedule.provider) == ("0 3 * * *", "p")

    engine.run_scenario(scenario)
