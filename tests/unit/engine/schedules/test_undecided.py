"""An instant that has come stays to be decided, whatever happens to its schedule before the tick that decides it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from convergence.domain.records import changed
from convergence.domain.schedule import Missed, Overlap, Schedule, ScheduleState, scheduled_run_id
from convergence.domain.status import RunStatus
from convergence.engine.schedules import edit
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.sync import sync_org
from convergence.errors import Transient
from convergence.ports.documents import Replace
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, run_of, stored
from tests.unit.engine.works import one

SCHEDULED = 'schedule: {cron: "0 * * * *", jitter_minutes: 50}\n'


def slot_of(schedule: Schedule) -> datetime:
    assert schedule.slot is not None
    return schedule.slot


async def into_the_jitter(engine: Engine, schedule: Schedule) -> None:
    """Wait until the slot has come and is not due yet."""
    slot = slot_of(schedule)
    assert schedule.due_at is not None
    assert schedule.due_at - slot > timedelta(minutes=2)
    await engine.clock.sleep((slot - engine.clock.now()).total_seconds() + 60)


async def to_five(engine: Engine, schedule: Schedule) -> None:
    def new(known: Schedule) -> Schedule:
        return changed(known, timing=changed(known.timing, cron="0 5 * * *"))

    await edit.edit_schedule(engine.services, "acme", schedule.schedule_id, new)


async def resume(engine: Engine, schedule: Schedule) -> None:
    await edit.resume(engine.services, "acme", schedule.schedule_id)


@pytest.mark.parametrize("change", [to_five, resume])
def test_a_firing_that_waits_for_its_jitter_survives_a_change(
    engine: Engine, change: Callable[[Engine, Schedule], Awaitable[None]]
) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, jitter_s=3000)
        await into_the_jitter(engine, schedule)
        await change(engine, schedule)
        await engine.clock.sleep(3000)
        assert (await fire_due(engine.services)).fired == 1
        run = await run_of(engine, scheduled_run_id(schedule.schedule_id, slot_of(schedule)))
        assert run.fire_time == schedule.slot

    engine.run_scenario(scenario)


def test_resuming_what_is_not_paused_keeps_what_is_due(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        await resume(engine, schedule)
        assert (await fire_due(engine.services)).fired == 1

    engine.run_scenario(scenario)


async def paused_by_the_org(engine: Engine, schedule: Schedule) -> None:
    await edit.pause(engine.services, "acme", schedule.schedule_id)


async def paused_by_the_file(engine: Engine, schedule: Schedule) -> None:
    engine.pipeline(SCHEDULED.replace("}", ", enabled: false}") + one())
    await sync_org(engine.services, "acme")


@pytest.mark.parametrize("pause", [paused_by_the_org, paused_by_the_file])
def test_a_pause_records_what_waits_for_its_jitter(
    engine: Engine, pause: Callable[[Engine, Schedule], Awaitable[None]]
) -> None:
    engine.pipeline(SCHEDULED + one())

    async def scenario() -> None:
        await sync_org(engine.services, "acme")
        (document,) = (await engine.documents.query("schedules", limit=2)).documents
        schedule = Schedule.from_data(document.data)
        await into_the_jitter(engine, schedule)
        await pause(engine, schedule)
        assert (await stored(engine, schedule)).state is ScheduleState.PAUSED
        skipped = await run_of(engine, scheduled_run_id(schedule.schedule_id, slot_of(schedule)))
        assert skipped.status is RunStatus.SKIPPED

    engine.run_scenario(scenario)


def test_a_file_with_other_times_keeps_the_firing_that_waits_for_its_jitter(engine: Engine) -> None:
    engine.pipeline(SCHEDULED + one())

    async def scenario() -> None:
        await sync_org(engine.services, "acme")
        (document,) = (await engine.documents.query("schedules", limit=2)).documents
        schedule = Schedule.from_data(document.data)
        await into_the_jitter(engine, schedule)
        engine.pipeline(SCHEDULED.replace("0 * * * *", "0 5 * * *") + one())
        await sync_org(engine.services, "acme")
        await engine.clock.sleep(3000)
        assert (await fire_due(engine.services)).fired == 1
        assert (await run_of(engine, scheduled_run_id(schedule.schedule_id, slot_of(schedule)))).fire_time is not None

    engine.run_scenario(scenario)


def test_an_edit_during_a_pause_keeps_the_end_of_the_pause(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        until = engine.clock.now() + timedelta(hours=7, minutes=30)
        await edit.pause(engine.services, "acme", schedule.schedule_id, until=until)
        await to_five(engine, schedule)
        assert slot_of(await stored(engine, schedule)) > until

    engine.run_scenario(scenario)


def test_a_store_that_is_away_for_a_moment_stops_no_schedule(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()  # nothing starts by itself

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.CANCEL_RUNNING)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await engine.clock.sleep(3600)
        get, away = engine.documents.get, iter([False, True])  # not the first look, the one that wants to cancel

        async def sometimes(path: str) -> Any:
            if path.startswith("runs/") and next(away, False):
                raise Transient("the store is away")
            return await get(path)

        engine.documents.get = sometimes  # type: ignore[method-assign]
        assert (await fire_due(engine.services)).fired == 0
        assert (await stored(engine, schedule)).state is ScheduleState.ENABLED
        assert (await fire_due(engine.services)).fired == 1

    engine.run_scenario(scenario)


def test_a_schedule_whose_skip_is_stored_already_moves_on(engine: Engine) -> None:
    """As after its document was restored from a backup."""
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, missed=Missed.LAST)
        await engine.clock.sleep(2 * 3600 + 1)
        await fire_due(engine.services)  # a skip and a run
        document = await engine.documents.get(schedule.path)
        assert document is not None
        await engine.documents.commit([Replace(schedule.path, document.version, schedule.to_data())])
        await engine.clock.sleep(3600)
        await fire_due(engine.services)
        slot = slot_of(await stored(engine, schedule))
        assert slot > engine.clock.now(), f"still at {slot}"
        assert len((await engine.documents.query("runs", limit=10)).documents) == 3

    engine.run_scenario(scenario)
