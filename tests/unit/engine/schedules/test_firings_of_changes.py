"""A pause, an edit or a deletion of a schedule decides what was due before, and fires nothing twice."""

from __future__ import annotations

from convergence.domain.records import changed
from convergence.domain.schedule import Missed, ScheduleState, Timing, scheduled_run_id
from convergence.engine.schedules import edit
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.store import schedules_of
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, stored
from tests.unit.engine.works import one


def test_a_pause_records_what_was_due_and_resuming_does_not_fire_it(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        paused = await edit.pause(engine.services, "acme", schedule.schedule_id)
        assert (paused.state, paused.slot, paused.due_at) == (ScheduleState.PAUSED, None, None)
        assert paused.last_skip is not None
        assert paused.last_skip.reason == "the schedule was paused"
        assert (await fire_due(engine.services)).fired == 0
        resumed = await edit.resume(engine.services, "acme", schedule.schedule_id)
        assert resumed.slot is not None
        assert resumed.slot > engine.clock.now()

    engine.run_scenario(scenario)


def test_resuming_with_catch_up_leaves_the_missed_firings_to_the_policy(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, missed=Missed.LAST)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await edit.pause(engine.services, "acme", schedule.schedule_id)
        await engine.clock.sleep(3 * 3600)
        await edit.resume(engine.services, "acme", schedule.schedule_id, catch_up=True)
        run_id = (await stored(engine, schedule)).last_run
        await engine.worker.start()
        await engine.worker.wait("acme", run_id)
        done = await fire_due(engine.services)
        assert (done.fired, done.skipped) == (1, 1)

    engine.run_scenario(scenario)


def test_an_edit_of_the_time_decides_what_was_due_by_the_old_one(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        daily = Timing(cron="30 5 * * *")
        await edit.edit_schedule(
            engine.services, "acme", schedule.schedule_id, lambda each: changed(each, timing=daily)
        )
        after = await stored(engine, schedule)
        assert after.last_run == scheduled_run_id(schedule.schedule_id, schedule.slot or schedule.created_at)
        assert after.slot is not None
        assert (after.slot.hour, after.slot.minute) == (5, 30)

    engine.run_scenario(scenario)


def test_a_deleted_schedule_that_is_created_again_does_not_fire_an_instant_twice(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await edit.delete(engine.services, "acme", schedule.schedule_id)
        assert not await schedules_of(engine.services, "acme")
        again = await add(engine)
        assert again.decided_through is not None
        assert again.slot is not None
        assert again.slot > again.decided_through
        assert again.active_runs, "the run that is under way still counts for its overlap"

    engine.run_scenario(scenario)
