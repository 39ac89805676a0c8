"""An instant that has come stays to be decided, whatever happens to its schedule before the tick that decides it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from convergence.domain.firing import decide
from convergence.domain.records import changed
from convergence.domain.schedule import Missed, Overlap, Schedule, ScheduleState, scheduled_run_id
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.schedules import edit
from convergence.engine.schedules.change import ScheduleChange, add_schedule, change_schedule
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.instants import CronInstants
from convergence.engine.schedules.store import schedules_of
from convergence.engine.schedules.sync import sync_org
from convergence.errors import InvalidInput, Transient
from convergence.ports.documents import Replace, Write
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


async def every_five_minutes(engine: Engine, schedule: Schedule) -> None:
    def new(known: Schedule) -> Schedule:
        return changed(known, timing=changed(known.timing, cron="*/5 * * * *"))

    await edit.edit_schedule(engine.services, "acme", schedule.schedule_id, new)


async def every_five_minutes_in_the_file(engine: Engine, schedule: Schedule) -> None:
    engine.pipeline(SCHEDULED.replace("0 * * * *", "*/5 * * * *") + one())
    await sync_org(engine.services, "acme")


@pytest.mark.parametrize("change", [every_five_minutes, every_five_minutes_in_the_file])
@pytest.mark.parametrize("late_s", [0, 1200])  # of the tick that decides the kept slot
def test_new_times_count_from_the_edit_on(
    engine: Engine, change: Callable[[Engine, Schedule], Awaitable[None]], late_s: int
) -> None:
    engine.pipeline(SCHEDULED + one())

    async def scenario() -> None:
        await sync_org(engine.services, "acme")
        (document,) = (await engine.documents.query("schedules", limit=2)).documents
        schedule = Schedule.from_data(document.data)
        slot = slot_of(schedule)
        await into_the_jitter(engine, schedule)
        await engine.clock.sleep(19 * 60)
        edited = engine.clock.now()
        await change(engine, schedule)
        assert slot_of(await stored(engine, schedule)) == slot
        assert schedule.due_at is not None
        await engine.clock.sleep((schedule.due_at - edited).total_seconds() + late_s)
        for _ in range(8):
            await fire_due(engine.services)
            await engine.clock.sleep(300)
        runs = [each.data for each in (await engine.documents.query("runs", limit=50)).documents]
        times = sorted(each["fire_time"] for each in runs)
        assert times[0] == to_text(slot), "the one that had come"
        assert len(times) > 1
        assert times[1] > to_text(edited)
        (skips,) = {each["transitions"][-1][2] for each in runs if each["fire_time"] == times[0]}
        assert "firings from" not in skips

    engine.run_scenario(scenario)


def test_an_edit_in_a_catch_up_loses_no_firing(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()  # the first run stays active

    async def scenario() -> None:
        schedule = await add(engine, cron="0 2 * * *", missed=Missed.ALL)
        await engine.clock.sleep(4 * 86_400)
        await fire_due(engine.services)
        waiting = slot_of(await stored(engine, schedule))
        await to_five(engine, schedule)
        known = await stored(engine, schedule)
        assert (known.slot, known.timing.cron) == (waiting, "0 5 * * *")
        found = decide(CronInstants(), known, (), engine.clock.now() + timedelta(minutes=2))
        assert found is not None
        assert (found.fires, found.schedule.slot) == (waiting, waiting + timedelta(hours=3))

    engine.run_scenario(scenario)


def test_catching_up_keeps_a_slot_that_an_edit_has_kept(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, jitter_s=3000)
        await into_the_jitter(engine, schedule)
        await every_five_minutes(engine, schedule)
        await edit.resume(engine.services, "acme", schedule.schedule_id, catch_up=True)
        assert slot_of(await stored(engine, schedule)) == schedule.slot

    engine.run_scenario(scenario)


def test_a_pause_after_an_edit_records_the_kept_slot_alone(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, jitter_s=3000)
        await into_the_jitter(engine, schedule)
        await engine.clock.sleep(1200)
        await every_five_minutes(engine, schedule)
        await edit.pause(engine.services, "acme", schedule.schedule_id)
        skip = (await stored(engine, schedule)).last_skip
        assert skip is not None
        assert (skip.first, skip.last, skip.count) == (schedule.slot, schedule.slot, 1)

    engine.run_scenario(scenario)


def test_a_refused_change_changes_nothing_and_a_good_one_is_one_commit(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        services, now = engine.services, engine.clock.now()
        schedule = await add(engine)
        before = await stored(engine, schedule)
        later = now + timedelta(hours=7)
        for wrong in (
            ScheduleChange(cron="0 5 * * *", paused_until=now - timedelta(days=1)),
            ScheduleChange(cron="0 5 * * *", paused_until=later, enabled=False),
            ScheduleChange(cron="0 5 * * *", paused_until=later, enabled=True, catch_up=True),
            ScheduleChange(cron="0 5 * * *", enabled=False, parameters={"nothing": 1}),
        ):
            with pytest.raises(InvalidInput):
                await change_schedule(services, "acme", schedule.schedule_id, wrong)
            assert await stored(engine, schedule) == before
            with pytest.raises(InvalidInput):
                await add_schedule(services, "acme", "p/d/n", "other", wrong)
            assert len(await schedules_of(services, "acme", deleted=True)) == 1
        commits, commit = [], engine.documents.commit

        async def counted(writes: Sequence[Write]) -> list[int]:
            commits.append([each.path for each in writes])
            return await commit(writes)

        engine.documents.commit = counted  # type: ignore[method-assign]
        good = ScheduleChange(cron="0 5 * * *", paused_until=later, enabled=True)
        both = await change_schedule(services, "acme", schedule.schedule_id, good)
        assert commits == [[schedule.path]]
        made = await add_schedule(services, "acme", "p/d/n", "other", good)
        assert commits[1:] == [[made.path]]
        for each in (both, made):
            assert (each.timing.cron, each.paused_until, each.state) == ("0 5 * * *", later, ScheduleState.ENABLED)
            assert slot_of(each) > later

    engine.run_scenario(scenario)


def test_a_change_of_what_the_system_stopped_is_refused_as_a_whole(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        document = await engine.documents.get(schedule.path)
        assert document is not None
        halted = changed(schedule, state=ScheduleState.STOPPED, reason="its credential is gone", slot=None, due_at=None)
        await engine.documents.commit([Replace(schedule.path, document.version, halted.to_data())])
        change = ScheduleChange(cron="0 5 * * *", enabled=True)
        with pytest.raises(InvalidInput, match="its credential is gone"):
            await change_schedule(engine.services, "acme", schedule.schedule_id, change)
        assert await stored(engine, schedule) == halted

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
