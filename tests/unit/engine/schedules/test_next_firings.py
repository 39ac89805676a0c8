"""What a schedule says about its firings to come and about how late it is."""

from __future__ import annotations

from datetime import timedelta

import orjson

from convergence.domain.records import changed
from convergence.domain.schedule import Blackout, Missed, Schedule
from convergence.domain.times import to_text
from convergence.engine.cancel import cancel
from convergence.engine.schedules import edit
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.views import next_firings, schedule_view
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, stored
from tests.unit.engine.works import one

DAY = timedelta(days=1)


def test_a_firing_that_waits_for_the_run_before_it_is_late_since_it_was_due(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()  # what it fires stays queued

    async def scenario() -> None:
        schedule = await add(engine, cron="0 2 * * *", missed=Missed.ALL, jitter_s=600)
        assert schedule.slot is not None
        assert schedule.due_at is not None
        jitter = schedule.due_at - schedule.slot
        await engine.clock.sleep((schedule.due_at - engine.clock.now()).total_seconds() + 2 * 86_400)
        await fire_due(engine.services)
        for _ in range(60):  # the second one is looked at again and again
            await engine.clock.sleep(60)
            await fire_due(engine.services)
        waits = await stored(engine, schedule)
        assert waits.slot == schedule.slot + DAY
        view = schedule_view(waits, engine.clock.now(), await engine.services.orgs.get("acme"))
        assert view["lag_seconds"] == 86_400 + 60 * 60
        third = next_firings(waits, 3)[2]
        assert (third["at"], third["starts_at"]) == (
            to_text(schedule.slot + 3 * DAY),
            to_text(schedule.slot + 3 * DAY + jitter),
        )
        await cancel(engine.services, "acme", waits.last_run)
        await engine.clock.sleep(60)
        assert (await fire_due(engine.services)).fired == 1
        delays = [orjson.loads(each)["data"].get("delay_ms") for each in engine.events if b"run.queued" in each]
        assert delays == [2 * 86_400_000, 86_400_000 + 61 * 60_000]

    engine.run_scenario(scenario)


def test_next_firings_leave_out_blackouts_and_what_an_edit_has_decided(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, cron="0 2 * * *", jitter_s=3000)
        assert schedule.slot is not None
        closed = Blackout(start=schedule.slot + DAY, end=schedule.slot + 3 * DAY)
        await engine.clock.sleep((schedule.slot - engine.clock.now()).total_seconds() + 330)

        def new(known: Schedule) -> Schedule:
            return changed(known, timing=changed(known.timing, cron="*/5 * * * *", blackouts=(closed,)))

        assert (await stored(engine, schedule)).due_at == schedule.due_at
        edited = await edit.edit_schedule(engine.services, "acme", schedule.schedule_id, new)
        first, second, third = next_firings(edited, 3)
        assert (first["at"], first["starts_at"]) == (to_text(schedule.slot), to_text(edited.due_at or schedule.slot))
        assert second["at"] == to_text(schedule.slot + timedelta(minutes=10)), "the edit has decided 02:05"
        assert third["at"] == to_text(schedule.slot + timedelta(minutes=15))
        many = [each["at"] for each in next_firings(edited, 100)]
        daily = changed(edited, timing=changed(edited.timing, cron="0 2 * * *"))
        assert [each["at"] for each in next_firings(daily, 3)] == [
            to_text(schedule.slot),
            to_text(schedule.slot + 3 * DAY),
            to_text(schedule.slot + 4 * DAY),
        ]
        assert len(many) == 100
        assert next_firings(changed(edited, slot=None, due_at=None), 3) == []

    engine.run_scenario(scenario)
