"""Schedules follow the pipelines' files, but for what the org has changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from convergence.domain.schedule import Blackout, Missed, Overlap, Schedule, ScheduleState, Timing
from convergence.domain.times import to_text
from convergence.engine.schedules import edit, sync
from convergence.engine.schedules.change import ScheduleChange, change_schedule
from convergence.engine.schedules.store import schedules_of
from convergence.errors import Conflict, NotFound
from convergence.ports.documents import Replace
from convergence.tenants.schedule_requests import REQUESTS, schedule_request
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, stored
from tests.unit.engine.works import one

NIGHTLY = 'schedule: {cron: "0 2 * * *"}\n'
FULL = """schedule:
  cron: "30 5 * * 1"
  timezone: Europe/Berlin
  jitter_minutes: 5
  missed: all
  overlap: queue
  queue_max: 7
  start: 2026-01-01T00:00:00Z
  end: 2027-01-01T00:00:00Z
  blackouts: [{start: 2026-06-01T00:00:00Z, end: 2026-06-02T00:00:00Z, reason: audit}]
  parameters: {region: eu}
"""
DECLARED = "parameters: [{name: region, type: string, default: x}, {name: note, type: string, default: x}]\n"


async def only(engine: Engine) -> Schedule:
    (found,) = await schedules_of(engine.services, "acme")
    return found.schedule


def test_every_field_of_the_file_reaches_the_schedule(engine: Engine) -> None:
    engine.pipeline(FULL + DECLARED + one())

    async def scenario() -> None:
        done = await sync.sync_org(engine.services, "acme")
        assert (done.created, done.updated, done.stopped) == (1, 0, 0)
        schedule = await only(engine)
        assert schedule.timing == Timing(
            cron="30 5 * * 1",
            timezone="Europe/Berlin",
            jitter_s=300,
            missed=Missed.ALL,
            overlap=Overlap.QUEUE,
            queue_max=7,
            start=datetime(2026, 1, 1, tzinfo=UTC),
            end=datetime(2027, 1, 1, tzinfo=UTC),
            blackouts=(
                Blackout(start=datetime(2026, 6, 1, tzinfo=UTC), end=datetime(2026, 6, 2, tzinfo=UTC), reason="audit"),
            ),
        )
        assert schedule.parameters == {"region": "eu"}
        assert schedule.from_pipeline

    engine.run_scenario(scenario)


def test_a_changed_file_changes_what_the_org_left_alone(engine: Engine) -> None:
    engine.pipeline(NIGHTLY + DECLARED + one())

    async def scenario() -> None:
        await sync.sync_org(engine.services, "acme")
        before = await only(engine)
        engine.pipeline(FULL + DECLARED + one())
        done = await sync.sync_org(engine.services, "acme")
        assert (done.created, done.updated) == (0, 1)
        after = await only(engine)
        assert (after.timing.cron, after.parameters) == ("30 5 * * 1", {"region": "eu"})
        assert after.enabled is True
        assert after.revision == before.revision + 1
        assert after.token != before.token
        assert (await sync.sync_org(engine.services, "acme")).updated == 0

    engine.run_scenario(scenario)


def test_what_the_org_changed_stays(engine: Engine) -> None:
    engine.pipeline(NIGHTLY + DECLARED + one())

    async def scenario() -> None:
        await sync.sync_org(engine.services, "acme")
        known = await only(engine)
        change = ScheduleChange(cron="0 9 * * *", parameters={"note": "ours"}, enabled=False)
        await change_schedule(engine.services, "acme", known.schedule_id, change)
        engine.pipeline(FULL + DECLARED + one())
        await sync.sync_org(engine.services, "acme")
        after = await only(engine)
        assert (after.timing.cron, after.parameters) == ("0 9 * * *", {"note": "ours"})
        assert (after.enabled, after.state) == (False, ScheduleState.PAUSED)
        assert set(after.overridden) == {"timing", "parameters", "enabled"}

    engine.run_scenario(scenario)


def test_the_org_of_the_demo_gets_its_schedules_paused(engine: Engine) -> None:
    """Its key is the sandbox's, and never goes to a provider by itself."""
    engine.pipeline(NIGHTLY + one())

    async def scenario() -> None:
        await engine.services.orgs.change("acme", lambda org: replace(org, demo=True), token="t")
        await sync.sync_org(engine.services, "acme")
        found = await only(engine)
        assert (found.enabled, found.state, found.due_at) == (False, ScheduleState.PAUSED, None)

    engine.run_scenario(scenario)


def test_all_requests_are_taken_in_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(NIGHTLY + one())
    monkeypatch.setattr(sync, "_PAGE", 2)

    async def scenario() -> None:
        for number in range(5):
            await engine.org(f"org{number}")
            await engine.documents.commit([schedule_request(f"org{number}", f"t_{number}")])
        waiting = len((await engine.documents.query(REQUESTS, limit=50)).documents)
        assert waiting >= 5
        assert await sync.sync_requested(engine.services) >= 5
        assert not (await engine.documents.query(REQUESTS, limit=50)).documents
        for number in range(5):
            assert len(await schedules_of(engine.services, f"org{number}")) == 1

    engine.run_scenario(scenario)


def test_an_org_with_pages_of_schedules_lists_them_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(one())
    monkeypatch.setattr("convergence.engine.schedules.store._PAGE", 2)

    async def scenario() -> None:
        for number in range(5):
            await add(engine, name=f"n{number}")
        names = [each.schedule.name for each in await schedules_of(engine.services, "acme")]
        assert names == [f"n{number}" for number in range(5)]

    engine.run_scenario(scenario)


def test_a_schedule_that_is_not_there_is_named_with_those_that_are(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        near = schedule.schedule_id[:-1] + ("0" if schedule.schedule_id[-1] != "0" else "1")
        with pytest.raises(NotFound, match=f"acme has no schedule '{near}'.*{schedule.schedule_id}"):
            await edit.pause(engine.services, "acme", near)

    engine.run_scenario(scenario)


def test_a_change_that_another_writer_came_before_is_made_again_on_what_that_one_wrote(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        commit, first = engine.documents.commit, iter([True])

        async def late(writes: Any) -> Any:
            if next(first, False):
                document = await engine.documents.get(schedule.path)
                assert document is not None
                await commit([Replace(schedule.path, document.version, {**document.data, "last_run": "run_other"})])
            return await commit(writes)

        engine.documents.commit = late  # type: ignore[method-assign]
        paused = await edit.pause(engine.services, "acme", schedule.schedule_id)
        engine.documents.commit = commit  # type: ignore[method-assign]
        assert (paused.enabled, paused.last_run) == (False, "run_other")
        assert await stored(engine, schedule) == paused

    engine.run_scenario(scenario)


def test_a_change_gives_up_when_others_keep_coming_first(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)

        async def never(writes: Any) -> Any:
            raise Conflict("another writer")

        engine.documents.commit = never  # type: ignore[method-assign]
        with pytest.raises(Conflict, match="is being changed by others; try again"):
            await edit.pause(engine.services, "acme", schedule.schedule_id)

    engine.run_scenario(scenario)


def test_a_schedule_that_is_created_again_remembers_what_was_decided(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        await engine.clock.sleep(3601)
        await edit.delete(engine.services, "acme", schedule.schedule_id)
        gone = await stored(engine, schedule)
        assert gone.last_skip is not None
        ahead = engine.clock.now() + timedelta(hours=5)  # by the clock of another machine
        document = await engine.documents.get(schedule.path)
        assert document is not None
        data = {**document.data, "decided_through": to_text(ahead)}
        await engine.documents.commit([Replace(schedule.path, document.version, data)])
        again = await add(engine)
        assert (again.last_skip, again.decided_through) == (gone.last_skip, ahead)
        assert again.slot is not None
        assert again.slot > ahead
        assert again.revision == gone.revision + 1

    engine.run_scenario(scenario)


def test_an_edit_of_the_times_counts_as_a_revision_and_has_its_own_token(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine)
        change = ScheduleChange(cron="0 9 * * *")
        edited = await change_schedule(engine.services, "acme", schedule.schedule_id, change)
        assert edited.revision == schedule.revision + 1
        assert edited.token != schedule.token
        paused = await edit.pause(engine.services, "acme", schedule.schedule_id)
        assert paused.enabled is False
        assert (await stored(engine, schedule)).to_data()["enabled"] is False

    engine.run_scenario(scenario)


def test_a_change_of_the_times_has_minutes_where_a_schedule_has_seconds(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        schedule = await add(engine, jitter_s=60)
        change = ScheduleChange(
            cron="5 * * * *", timezone="Asia/Tokyo", jitter_minutes=3, starting_deadline_minutes=90,
            missed=Missed.ALL, overlap=Overlap.QUEUE, queue_max=4,
        )  # fmt: skip
        await change_schedule(engine.services, "acme", schedule.schedule_id, change)
        changed_once = await stored(engine, schedule)
        assert changed_once.timing == Timing(
            cron="5 * * * *", timezone="Asia/Tokyo", jitter_s=180, starting_deadline_s=5400, missed=Missed.ALL,
            overlap=Overlap.QUEUE, queue_max=4,
        )  # fmt: skip
        await change_schedule(engine.services, "acme", schedule.schedule_id, ScheduleChange(jitter_minutes=0))
        assert (await stored(engine, schedule)).timing == replace(changed_once.timing, jitter_s=0)

    engine.run_scenario(scenario)


def test_a_run_that_is_triggered_has_the_days_of_its_schedules_time_zone(engine: Engine) -> None:
    engine.pipeline("parameters: {date: {type: date, default: TODAY}}\n" + one())
    engine.bus.detach()

    async def scenario() -> Any:
        schedule = await add(engine, timezone="Asia/Tokyo")
        await engine.clock.sleep(20 * 3600)  # the next morning in Tokyo
        return engine.clock.now().date(), (await edit.trigger(engine.services, "acme", schedule.schedule_id))

    today, run = engine.run_scenario(scenario)
    assert (run.timezone, run.parameters["date"]) == ("Asia/Tokyo", (today + timedelta(days=1)).isoformat())
