"""Replays of many dead letters: one first, then the rest at the rate, once each, whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.dead_letter_replay import FAILURES_MAX, REFUSED_MAX, ReplayStatus
from convergence.engine.dead_letters import feed_replays as feeding
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.feed_replays import feed_replays, feed_replays_due
from convergence.engine.dead_letters.find import Filter, count_causes, find
from convergence.engine.views.dead_letter_replays import plan_view, replay_view
from convergence.errors import InvalidInput, NotFound, QuotaExceeded
from convergence.ports.documents import Patch, Replace
from tests.unit.engine.conftest import Engine
from tests.unit.engine.dead_letter_outage import DAYS, Source, epoch, outage, request, to_its_end


@pytest.fixture
def source(engine: Engine) -> Source:
    engine.pipeline(DAYS)
    return Source(engine)


def test_a_dry_run_says_what_is_redone_and_replaced_and_stores_nothing(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        source.away = False
        await engine.run()
        source.away = True
        await outage(engine, 12)
        found = plan_view(await replays.plan(engine.services, request()))
        assert found["text"] == "12 runs, 12 steps, 24 slices, about 2,040 rows"
        assert found["causes"] == [{"code": "step.failed", "pipeline": "p/d/n", "step_id": "load_b", "count": 12}]
        assert await engine.documents.count("dead_letter_replays") == 0
        with pytest.raises(InvalidInput, match="no open dead letter"):
            await replays.create(engine.services, request(code="other"))
        with pytest.raises(InvalidInput, match="edited parameters need the pipeline"):
            await replays.plan(engine.services, request(parameters={"account": "7"}))
        with pytest.raises(InvalidInput, match="Did you mean 'account'"):
            await replays.plan(engine.services, request(pipeline="p/d/n", parameters={"acount": "7"}))
        engine.pipelines.loaded.clear()
        assert (await replays.plan(engine.services, request(pipeline="p/d/n"))).runs == 12, "by their pinned plans"

    engine.run_scenario(scenario)


def test_one_goes_ahead_and_the_rest_follows_at_the_rate(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        runs = await outage(engine, 8)
        source.away = False
        made = await replays.create(engine.services, request(per_minute=4))
        await feed_replays(engine.services, made.replay_id)
        assert sum([await epoch(engine, run) for run in runs]) == 1, "the first one alone"
        await engine.clock.sleep(60)
        await feed_replays_due(engine.services)
        assert sum([await epoch(engine, run) for run in runs]) <= 1 + 4
        done = await to_its_end(engine, made)
        assert (done.status, done.completed, done.failed, done.total) == (ReplayStatus.DONE, 8, 0, 8)
        assert [await epoch(engine, run) for run in runs] == [1] * 8
        page = await find(engine.services, Filter(org="acme"))
        assert {state for _, state in page.found} == {DeadLetterState.COMPLETED}
        assert engine.started.count("extract_a") == 8, "finished steps are not done again"

    engine.run_scenario(scenario)


def test_runs_that_take_a_minute_are_replayed_as_often_as_asked_for(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await engine.org("many", concurrent=100)
        runs = await outage(engine, 91, "many")
        source.away = False
        made = await replays.create(engine.services, request(org="many", per_minute=90))
        await feed_replays(engine.services, made.replay_id)
        await engine.clock.sleep(5)
        source.held = "many"  # after the first one
        await engine.clock.sleep(60)
        await feed_replays_due(engine.services)
        assert sum([await epoch(engine, run) for run in runs]) == 1 + 90
        source.held = ""
        assert (await to_its_end(engine, made)).completed == 91

    engine.run_scenario(scenario)


def test_when_the_first_one_fails_again_no_other_is_touched_and_it_can_go_on(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        runs = await outage(engine, 3)
        made = await replays.create(engine.services, request())
        stopped = await to_its_end(engine, made)
        assert stopped.status is ReplayStatus.STOPPED
        assert "the first one did not complete" in stopped.reason
        assert "the source is away" in stopped.reason
        assert sorted([await epoch(engine, run) for run in runs]) == [0, 0, 1]
        source.away = False
        await replays.resume(engine.services, "acme", made.replay_id)
        done = await to_its_end(engine, made)
        assert (done.status, done.completed, done.failed) == (ReplayStatus.DONE, 2, 1)

    engine.run_scenario(scenario)


def test_it_stops_after_as_many_failures_as_may_be(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        runs = await outage(engine, 6)
        source.away, source.broken = False, {run.run_id for run in runs[:5]}  # the latest one goes ahead and completes
        stopped = await to_its_end(engine, await replays.create(engine.services, request(per_minute=1, failures_max=2)))
        assert (stopped.status, stopped.completed, stopped.failed) == (ReplayStatus.STOPPED, 1, 2)
        assert "2 did not complete (failures_max 2)" in stopped.reason

    engine.run_scenario(scenario)


def test_a_crash_between_the_two_commits_of_a_round_repeats_and_loses_nothing(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        runs = await outage(engine, 3)
        source.away = False
        made = await replays.create(engine.services, request())
        commit = engine.documents.commit

        async def refuse(writes: Any) -> Any:
            if any(isinstance(write, Replace) and write.path.startswith("runs/") for write in writes):
                raise RuntimeError("the process died")
            return await commit(writes)

        engine.documents.commit = refuse  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await feed_replays(engine.services, made.replay_id)
        engine.documents.commit = commit  # type: ignore[method-assign]
        taken = (await replays.require_replay(engine.services, "acme", made.replay_id)).replay
        assert len(taken.window) == 1
        assert [await epoch(engine, run) for run in runs] == [0, 0, 0]
        done = await to_its_end(engine, made)
        assert (done.status, done.completed) == (ReplayStatus.DONE, 3)
        assert [await epoch(engine, run) for run in runs] == [1, 1, 1]

    engine.run_scenario(scenario)


def test_a_full_org_waits_and_holds_up_no_other(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        await outage(engine, 2)
        await outage(engine, 2, "small")
        source.away = False
        made = await replays.create(engine.services, request(org=None))
        done = await to_its_end(engine, made)
        assert (done.status, done.completed, done.refused) == (ReplayStatus.DONE, 4, 0)
        counted = await count_causes(engine.services, Filter(state=DeadLetterState.COMPLETED))
        assert counted.total == 4

    engine.run_scenario(scenario)


@pytest.mark.parametrize("latest_of", ["acme", "small"], ids=["the first one passes", "the first one has no room"])
def test_an_org_whose_only_slot_is_taken_holds_up_no_other(engine: Engine, source: Source, latest_of: str) -> None:
    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        await outage(engine, 4)
        await outage(engine, 60, "small")
        last = await engine.run(org=latest_of, idempotency_key="the last to fail, so the first to be replayed")
        await engine.clock.sleep(1)
        source.held = "small"  # its next run does not end
        long = await engine.start(org="small", idempotency_key="long")
        source.away = False
        made = await replays.create(engine.services, request(org=None, per_minute=600, failures_max=500))
        for _ in range(4):
            await engine.clock.sleep(16)
            await feed_replays_due(engine.services)
        going = (await replays.require_replay(engine.services, None, made.replay_id)).replay
        assert (going.completed, going.refused) == (5 - (latest_of == "small"), 0), "all of the other org"
        assert not going.over, "what had no room is not forgotten"
        limit = "small: Concurrent pipeline limit (1) reached; wait for a run to end."
        assert replay_view(going)["waits_for"] == limit
        source.held = ""
        await engine.worker.wait("small", long.run_id)
        done = await to_its_end(engine, made, rounds=200)
        assert (done.status, done.completed, done.failed, done.refused) == (ReplayStatus.DONE, 65, 0, 0)
        assert await epoch(engine, last) == 1
        assert replay_view(done)["waits_for"] is None

    engine.run_scenario(scenario)


def test_a_replay_of_one_org_says_what_it_waits_for_and_keeps_its_place(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        await outage(engine, 2, "small")
        source.held = "small"
        long = await engine.start(org="small", idempotency_key="long")
        source.away = False
        made = await replays.create(engine.services, request(org="small"))
        for _ in range(3):
            now = await feed_replays(engine.services, made.replay_id)
            assert now is not None
            assert (len(now.window), now.waits_for[:36]) == (1, "small: Concurrent pipeline limit (1)")
            await engine.clock.sleep(16)
        source.held = ""
        await engine.worker.wait("small", long.run_id)
        done = await to_its_end(engine, made)
        assert (done.completed, done.waits_for) == (2, "")

    engine.run_scenario(scenario)


@pytest.mark.parametrize("failures_max", [0, FAILURES_MAX + 1])
def test_the_failures_that_may_be_are_bounded(engine: Engine, source: Source, failures_max: int) -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidInput, match="failures_max must be a number from 1 to 1,000, not"):
            await replays.plan(engine.services, request(failures_max=failures_max))

    engine.run_scenario(scenario)


def test_a_replay_that_was_refused_too_often_is_not_resumed(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await outage(engine, 1)
        made = await replays.create(engine.services, request())
        for count, refused in ((REFUSED_MAX, False), (REFUSED_MAX + 1, True)):
            names = [f"letter_{number}" for number in range(count)]
            stopped: dict[tuple[str, ...], Any] = {("status",): "stopped", ("refused_ids",): names, ("refused",): count}
            await engine.documents.commit([Patch(made.path, stopped)])
            if refused:
                with pytest.raises(InvalidInput, match="was refused more than 2,000 runs"):
                    await replays.resume(engine.services, "acme", made.replay_id)
            else:
                assert (await replays.resume(engine.services, "acme", made.replay_id)).failures_max == 10 + count

    engine.run_scenario(scenario)


def test_a_run_that_another_process_replayed_at_the_same_moment_is_not_refused(
    engine: Engine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay_one: Any = vars(feeding)["_replay_one"]

    async def after_another(*given: Any) -> None:
        await replay_one(*given)  # that of the other process, after this one has looked at the run
        await replay_one(*given)

    async def scenario() -> None:
        await outage(engine, 3)
        source.away = False
        made = await replays.create(engine.services, request())
        monkeypatch.setattr(feeding, "_replay_one", after_another)
        done = await to_its_end(engine, made)
        assert (done.status, done.completed, done.refused, done.reason) == (ReplayStatus.DONE, 3, 0, "")

    engine.run_scenario(scenario)


def test_what_is_refused_is_tried_once_however_often_the_rest_is_looked_through(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        runs = await outage(engine, 3)
        await outage(engine, 3, "small")
        await engine.documents.commit([Patch(runs[0].path, {("removing",): True})])
        source.away = False
        done = await to_its_end(engine, await replays.create(engine.services, request(org=None)), rounds=80)
        assert (done.status, done.completed, done.refused) == (ReplayStatus.DONE, 5, 1)

    engine.run_scenario(scenario)


def test_pause_holds_cancel_ends_and_another_orgs_does_not_exist(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        runs = await outage(engine, 3)
        source.away = False
        made = await replays.create(engine.services, request())
        await replays.pause(engine.services, "acme", made.replay_id)
        for _ in range(3):
            await engine.clock.sleep(16)
            await feed_replays_due(engine.services)
        assert [await epoch(engine, run) for run in runs] == [0, 0, 0]
        with pytest.raises(NotFound):
            await replays.cancel_replay(engine.services, "other", made.replay_id)
        await replays.cancel_replay(engine.services, "acme", made.replay_id)
        with pytest.raises(InvalidInput, match="is cancelled already"):
            await replays.cancel_replay(engine.services, "acme", made.replay_id)
        await feed_replays_due(engine.services)
        assert [await epoch(engine, run) for run in runs] == [0, 0, 0]
        for _ in range(5):
            await replays.create(engine.services, request())
        with pytest.raises(QuotaExceeded, match="5 replays of dead letters are running"):
            await replays.create(engine.services, request())

    engine.run_scenario(scenario)


def test_requests_are_listed_latest_first_with_what_they_ask_for(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await outage(engine, 1)
        made = []
        for number in range(4):
            asked = replace(request(per_minute=number + 1), latest=number % 2 == 0, created_by=f"key{number}")
            made.append(await replays.create(engine.services, asked))
            await engine.clock.sleep(1)
        found = await replays.replays_of(engine.services, "acme")
        assert [each.replay_id for each in found] == [each.replay_id for each in made[::-1]]
        assert [(each.latest, each.created_by, each.per_minute) for each in found] == [
            (False, "key3", 4),
            (True, "key2", 3),
            (False, "key1", 2),
            (True, "key0", 1),
        ]

    engine.run_scenario(scenario)


def test_one_that_is_refused_is_not_asked_again(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        runs = await outage(engine, 4)
        source.away = False
        made = await replays.create(engine.services, request(per_minute=1))
        refused = runs[1]  # the latest go first, so this one comes third
        await engine.documents.commit([Patch(refused.path, {("removing",): True})])
        done = await to_its_end(engine, made)
        assert (done.status, done.completed, done.refused, done.failed) == (ReplayStatus.DONE, 3, 1, 0)

    engine.run_scenario(scenario)
