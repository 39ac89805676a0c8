"""Ticks: each due instant makes one run or one recorded skip, whatever fails and however many tick."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from convergence.adapters.local.bus import LocalBus
from convergence.domain.records import changed
from convergence.domain.schedule import Blackout, Missed, Overlap, ScheduleState, Timing, scheduled_run_id
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.schedules import edit
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.store import schedules_of
from convergence.engine.schedules.sync import sync_all, sync_requested
from convergence.engine.tick import admit_due
from convergence.errors import InvalidInput, Transient
from convergence.ports.documents import Replace
from convergence.tenants.orgs import Org
from convergence.tenants.schedule_requests import schedule_request
from convergence.worker import LocalWorker
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, run_of, stored
from tests.unit.engine.works import one


def suspended(org: Org) -> Org:
    return replace(org, status="SUSPENDED")


def test_a_due_schedule_makes_a_queued_run_that_is_admitted_and_ends(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        assert schedule.slot is not None
        await engine.clock.sleep((schedule.slot - engine.clock.now()).total_seconds() + 1)
        assert (await fire_due(engine.services)).fired == 1
        run = await run_of(engine, scheduled_run_id(schedule.schedule_id, schedule.slot))
        assert run.status is RunStatus.QUEUED
        assert run.fire_time == schedule.slot
        assert run.transitions[-1][2] == f"due at {to_text(schedule.slot)} (schedule nightly)"
        await engine.worker.start()
        ended = await engine.worker.wait("acme", run.run_id)
        assert ended.status is RunStatus.COMPLETED
        assert ended.schedule_id == schedule.schedule_id
        assert [move[1] for move in ended.transitions] == ["queued", "validating", "running", "completed"]

    engine.run_scenario(scenario)


def test_a_process_that_starts_fires_and_admits_at_once(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        assert schedule.slot is not None
        await engine.clock.sleep((schedule.slot - engine.clock.now()).total_seconds() + 1)
        subscriptions = engine.bus.detach()
        successor = LocalWorker(engine.services, LocalBus(), schedules=True)
        began_s = engine.loop.now_s
        await successor.start()
        await engine.clock.sleep(1)
        await successor.close()
        engine.bus.attach(subscriptions)
        run = await run_of(engine, scheduled_run_id(schedule.schedule_id, schedule.slot))
        assert run.status is RunStatus.RUNNING
        assert engine.loop.now_s - began_s < 1.1

    engine.run_scenario(scenario)


def test_the_event_of_a_firing_says_how_late_it_was_accepted_without_its_jitter(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, jitter_s=600)
        assert schedule.slot is not None
        assert schedule.due_at is not None
        assert schedule.due_at > schedule.slot, "this org and pipeline have a jitter"
        await engine.clock.sleep((schedule.due_at - engine.clock.now()).total_seconds() + 42)
        assert (await fire_due(engine.services)).fired == 1
        (event,) = [orjson.loads(each) for each in engine.events if b"run.queued" in each]
        assert event["data"]["delay_ms"] == 42_000

    engine.run_scenario(scenario)


def test_many_ticks_at_once_make_one_run(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        done = await asyncio.gather(*(fire_due(engine.services) for _ in range(5)))
        assert sum(each.fired for each in done) == 1
        runs = (await engine.documents.query("runs", limit=10)).documents
        assert len(runs) == 1
        assert (await stored(engine, schedule)).active_runs == (runs[0].data["run_id"],)

    engine.run_scenario(scenario)


def test_a_lost_answer_of_the_firings_commit_makes_no_second_run(engine: Engine) -> None:
    engine.pipeline(one())
    lost = iter([True])

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        commit = engine.documents.commit

        async def losing(writes: Any) -> Any:
            answer = await commit(writes)
            if len(writes) > 1 and next(lost, False):
                raise Transient("the answer was lost")
            return answer

        engine.documents.commit = losing  # type: ignore[method-assign]
        await fire_due(engine.services)
        engine.documents.commit = commit  # type: ignore[method-assign]
        assert (await fire_due(engine.services)).fired == 0
        assert len((await engine.documents.query("runs", limit=10)).documents) == 1
        assert (await stored(engine, schedule)).slot == (schedule.slot or schedule.created_at) + timedelta(hours=1)

    engine.run_scenario(scenario)


def test_thirty_firings_of_several_orgs_are_one_commit(engine: Engine) -> None:
    engine.pipeline(one())
    commits = []

    async def scenario() -> None:
        for number in range(3):
            await engine.org(f"org{number}")
            for each in range(10):
                await add(engine, org=f"org{number}", name=f"n{each}")
        await engine.clock.sleep(3601)
        commit = engine.documents.commit

        async def counting(writes: Any) -> Any:
            commits.append(len(writes))
            return await commit(writes)

        engine.documents.commit = counting  # type: ignore[method-assign]
        assert (await fire_due(engine.services)).fired == 30

    engine.run_scenario(scenario)
    assert commits == [3, 63], "three queues are created once; 30 schedules, 30 runs, 3 marks"


def test_a_tick_decides_every_schedule_that_is_due(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.engine.schedules.fire._PAGE", 2)
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        for number in range(5):
            await add(engine, name=f"n{number}")
        await engine.clock.sleep(3601)
        assert (await fire_due(engine.services)).fired == 5
        assert (await fire_due(engine.services)).fired == 0

    engine.run_scenario(scenario)


def test_a_skip_is_recorded_as_a_run_that_was_not_started(engine: Engine) -> None:
    engine.pipeline(one())

    engine.bus.detach()  # nothing starts by itself

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.SKIP)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await engine.clock.sleep(3600)
        assert (await fire_due(engine.services)).skipped == 1
        after = await stored(engine, schedule)
        assert after.last_skip is not None
        skipped = await run_of(engine, scheduled_run_id(schedule.schedule_id, after.last_skip.last))
        assert skipped.status is RunStatus.SKIPPED
        assert skipped.terminal
        assert skipped.check_at is None
        assert "was still active" in skipped.transitions[-1][2]

    engine.run_scenario(scenario)


def test_overlap_queue_starts_the_second_run_after_the_first(engine: Engine) -> None:
    engine.pipeline(one())

    subscriptions = engine.bus.detach()

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.QUEUE)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await engine.clock.sleep(3600)
        await fire_due(engine.services)
        first, second = (await stored(engine, schedule)).active_runs
        held = await run_of(engine, second)
        assert held.queue is not None
        assert held.queue.held_after == first
        assert not held.queue.rank
        engine.bus.attach(subscriptions)
        await engine.worker.start()
        ended = await engine.worker.wait("acme", second)
        before = await run_of(engine, first)
        assert ended.status is RunStatus.COMPLETED
        assert before.finished_at is not None
        assert ended.started_at is not None
        assert ended.started_at >= before.finished_at

    engine.run_scenario(scenario)


def test_overlap_cancel_running_ends_the_earlier_run_in_the_same_commit(engine: Engine) -> None:
    engine.pipeline(one())

    engine.bus.detach()  # nothing starts by itself

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.CANCEL_RUNNING)
        await engine.clock.sleep(3601)
        await fire_due(engine.services)
        await admit_due(engine.services)
        await engine.clock.sleep(3600)
        (first,) = (await stored(engine, schedule)).active_runs
        await fire_due(engine.services)
        assert (await run_of(engine, first)).status is RunStatus.CANCELLED
        assert len((await stored(engine, schedule)).active_runs) == 1
        assert first not in (await engine.data("orgs/acme/usage/current"))["active"]

    engine.run_scenario(scenario)


@pytest.mark.parametrize("overlap", list(Overlap))
def test_all_runs_every_missed_firing_to_its_end(engine: Engine, overlap: Overlap) -> None:
    engine.pipeline(one())

    async def load(config: Any, context: Any) -> dict[str, Any]:
        await engine.clock.sleep(300)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = load

    async def scenario() -> None:
        await add(engine, cron="0 2 * * *", missed=Missed.ALL, overlap=overlap)
        await engine.clock.sleep(5 * 86_400)  # an outage
        await engine.worker.start()
        for _ in range(100):
            await fire_due(engine.services)
            await admit_due(engine.services)
            await engine.clock.sleep(30)
        runs = (await engine.documents.query("runs", limit=10)).documents
        assert [each.data["status"] for each in runs] == ["completed"] * 5

    engine.run_scenario(scenario)


def test_a_blackout_at_the_end_of_an_outage_leaves_the_firing_before_it(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        start = engine.clock.now().replace(hour=0, minute=0) + timedelta(days=3)
        closed = Blackout(start=start, end=start + timedelta(days=3), reason="close")
        schedule = await add(engine, cron="0 2 * * *", missed=Missed.LAST, blackouts=(closed,))
        await engine.clock.sleep((start + timedelta(hours=3) - engine.clock.now()).total_seconds())
        done = await fire_due(engine.services)
        after = await stored(engine, schedule)
        assert (done.fired, after.last_fired_at) == (1, start - timedelta(hours=22))
        assert after.last_skip is not None
        assert (after.last_skip.last, after.last_skip.reason) == (
            start + timedelta(hours=2),
            "it was in a blackout: close",
        )
        assert (await run_of(engine, after.last_run)).fire_time == after.last_fired_at

    engine.run_scenario(scenario)


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


def test_an_org_has_so_many_schedules_and_no_more_also_when_it_deletes_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convergence.engine.schedules.edit._SCHEDULES_MAX", 3)
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("globex")
        made = [await add(engine, name=f"n{number}") for number in range(3)]
        await edit.delete(engine.services, "acme", made[0].schedule_id)
        with pytest.raises(InvalidInput, match="acme has 3 schedules"):
            await add(engine, name="n4")
        assert (await add(engine, name="n0")).schedule_id == made[0].schedule_id
        assert (await add(engine, org="globex", name="n4")).state is ScheduleState.ENABLED

    engine.run_scenario(scenario)


def test_parameters_of_a_schedule_are_bounded(engine: Engine) -> None:
    engine.pipeline(one() + "\nparameters: {note: {type: string, default: ''}}")

    async def scenario() -> None:
        schedule = await add(engine)

        async def note(length: int) -> None:
            given = {"note": "x" * length}
            await edit.edit_schedule(
                engine.services, "acme", schedule.schedule_id, lambda each: changed(each, parameters=given)
            )

        await note(16_000)
        with pytest.raises(InvalidInput, match="at most 16384 bytes"):
            await note(17_000)
        assert len((await stored(engine, schedule)).parameters["note"]) == 16_000

    engine.run_scenario(scenario)


def test_a_clock_that_is_set_back_fires_nothing_twice(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, overlap=Overlap.QUEUE)
        assert schedule.slot is not None
        await engine.clock.sleep((schedule.slot - engine.clock.now()).total_seconds() + 1)
        assert (await fire_due(engine.services)).fired == 1
        behind = replace(engine.services, clock=engine.clock.skewed(-3 * 3_600))
        for _ in range(3):  # up to the instant that has been fired
            assert (await fire_due(behind)).fired == 0
            await engine.clock.sleep(3_600)
        assert (await fire_due(behind)).fired == 0
        await engine.clock.sleep(3_600)
        assert (await fire_due(behind)).fired == 1
        assert (await stored(engine, schedule)).decided_through == schedule.slot + timedelta(hours=1)

    engine.run_scenario(scenario)
