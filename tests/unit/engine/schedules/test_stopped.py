"""A schedule that cannot fire is stopped, and holds up no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convergence.domain.records import changed
from convergence.domain.schedule import Missed, ScheduleState, Timing
from convergence.engine.schedules import edit
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.store import schedules_of
from convergence.engine.schedules.sync import sync_all, sync_requested
from convergence.ports.documents import Replace
from convergence.tenants.orgs import Org
from convergence.tenants.schedule_requests import schedule_request
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, stored
from tests.unit.engine.works import one


def suspended(org: Org) -> Org:
    return replace(org, status="SUSPENDED")


def test_a_suspended_org_is_stopped_at_its_next_firing(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.services.orgs.change("acme", suspended, token="t_suspend")
        await engine.clock.sleep(3601)
        done = await fire_due(engine.services)
        assert (done.fired, done.skipped) == (0, 1)
        after = await stored(engine, schedule)
        assert (after.state, after.reason) == (ScheduleState.STOPPED, "the org is SUSPENDED")
        assert (after.slot, after.due_at) == (None, None)
        await engine.clock.sleep(7200)
        deleted = await edit.delete(engine.services, "acme", schedule.schedule_id)
        assert deleted.last_skip == after.last_skip, "what came while it was stopped was not its to skip"

    engine.run_scenario(scenario)


def test_a_schedule_whose_pipeline_is_gone_stops_and_holds_up_no_other(engine: Engine) -> None:
    engine.pipeline(one())
    engine.pipeline(one(), "p/d/other")

    async def scenario() -> None:
        broken = await add(engine)
        other = await edit.create(
            engine.services,
            edit.new_schedule(
                engine.services,
                org="acme",
                pipeline="p/d/other",
                provider="p",
                name="x",
                timing=Timing(cron="0 * * * *"),
            ),
        )
        del engine.pipelines.loaded["p/d/n"]
        await engine.clock.sleep(3601)
        assert (await fire_due(engine.services)).fired == 1
        assert (await stored(engine, broken)).state is ScheduleState.STOPPED
        assert (await stored(engine, other)).last_run

    engine.run_scenario(scenario)


def test_a_schedule_whose_times_cannot_be_computed_holds_up_no_other(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        broken, other = await add(engine, name="broken"), await add(engine, name="other")
        document = await engine.services.documents.get(broken.path)
        assert document is not None
        hostile = changed(broken, timing=changed(broken.timing, missed=Missed.NONE, starting_deadline_s=10**15))
        await engine.services.documents.commit([Replace(broken.path, document.version, hostile.to_data())])
        await engine.clock.sleep(3601)
        assert (await fire_due(engine.services)).fired == 1
        stopped = await stored(engine, broken)
        assert (stopped.state, stopped.due_at) == (ScheduleState.STOPPED, None)
        assert (await stored(engine, other)).last_run

    engine.run_scenario(scenario)


def test_an_org_that_cannot_be_synced_holds_up_no_other_and_is_tried_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pipeline(one() + '\nschedule: "0 * * * *"')

    async def scenario() -> None:
        services = engine.services
        await engine.org("globex")
        await services.documents.commit([schedule_request(org, "t1") for org in ("acme", "globex")])
        get = services.orgs.get

        async def failing(slug: str) -> Org:
            if slug == "acme":
                raise OverflowError("date value out of range")
            return await get(slug)

        with monkeypatch.context() as patched:
            patched.setattr(services.orgs, "get", failing)
            assert await sync_requested(services) == 1
            assert (await sync_all(services)).created == 0  # globex has its own by now
        assert [each.schedule.name for each in await schedules_of(services, "globex")] == ["default"]
        assert await sync_requested(services) == 1
        assert [each.schedule.name for each in await schedules_of(services, "acme")] == ["default"]

    engine.run_scenario(scenario)
