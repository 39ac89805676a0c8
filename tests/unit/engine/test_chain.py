"""Pipelines that run after others: once, for the same days, visible both ways."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.run import Run
from convergence.engine.cancel import cancel
from convergence.engine.chain import DEPTH_MAX
from convergence.engine.dead_letters.act import replay_dead_letter
from convergence.engine.dead_letters.find import Filter
from convergence.engine.dead_letters.plan_replays import plan_replays
from convergence.engine.finish_run import finish_run
from convergence.engine.queue.admission import admission_pass
from convergence.engine.replay import replay
from convergence.engine.store import read_run
from convergence.engine.views.runs import status
from convergence.errors import ConfigErrors, InvalidInput, NotFound, StepFailed, Transient
from convergence.ports.documents import Patch
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import failing, one

DAYS = "parameters: {start_date: {type: date}, end_date: {type: date}, region: {type: string, default: eu}}\n"
FIRST = (
    DAYS + "then: {on_success: [{pipeline: p/d/next, parameters: {region: us}}], on_failure: [{pipeline: p/d/sorry}]}\n"
)


@pytest.fixture
def chained(engine: Engine) -> Engine:
    engine.pipeline(FIRST + one())
    engine.pipeline(DAYS + one(), "p/d/next")
    engine.pipeline(one(), "p/d/sorry")
    return engine


async def runs(engine: Engine) -> list[Run]:
    page = await engine.documents.query("runs", limit=50)
    return [Run.from_data(each.data) for each in page.documents]


def goes_away(engine: Engine, name: str) -> None:
    """Let a pipeline be there when the first run starts, and no more when that ends."""
    engine.pipeline(one(), name)

    async def load(config: Any, context: Any) -> dict[str, Any]:
        del engine.works["load_a"], engine.pipelines.loaded[name]
        return {"status": "SUCCESS"}

    engine.works["load_a"] = load


async def after(engine: Engine, run: Run) -> list[Run]:
    """Admit what follows a run and wait for it."""
    stored = await read_run(engine.services, run.run_id)
    assert stored is not None
    await admission_pass(engine.services)
    return [await engine.worker.wait("acme", each) for each in stored.run.children]


def test_templates_are_filled_with_what_the_first_run_has(engine: Engine) -> None:
    async def scenario() -> None:
        then = (
            "then: {on_success: [{pipeline: p/d/next, parameters: {region: '{where}', label: '{org_slug} {date}'}}]}\n"
        )
        engine.pipeline(f"parameters: {{where: {{type: string, default: eu}}}}\n{then}" + one())
        engine.pipeline(f"{DAYS[:-2]}, label: {{type: string}}}}\n" + one(), "p/d/next")
        (following,) = await after(engine, await engine.run(parameters={"where": "us", "date": "2026-11-01"}))
        assert following.parameters.items() >= {"region": "us", "label": "acme 2026-11-01"}.items()

    engine.run_scenario(scenario)


def test_success_starts_the_next_one_for_the_same_days_and_both_say_so(chained: Engine) -> None:
    async def scenario() -> None:
        days = {"start_date": "2026-11-01", "end_date": "2026-11-02"}
        noon = datetime(2026, 11, 3, 12, tzinfo=UTC)
        run = await chained.run(parameters=days, fire_time=noon)
        (following,) = await after(chained, run)
        assert (following.pipeline, following.status, following.trigger) == ("p/d/next", "completed", "chain")
        assert following.parameters.items() >= {**days, "region": "us"}.items()
        assert (following.fire_time, following.chain_depth) == (noon, 1)
        first = await status(chained.services, "acme", run.run_id)
        second = await status(chained.services, "acme", following.run_id)
        assert (first["parent_run"], first["children"]) == (None, [following.run_id])
        assert (second["parent_run"], second["children"]) == (run.run_id, [])

    chained.run_scenario(scenario)


def test_failure_starts_its_own_and_the_success_of_a_replay_the_next_one(chained: Engine) -> None:
    chained.works["load_a"] = failing(StepFailed("no"), times=1)

    async def scenario() -> None:
        run = await chained.run()
        (sorry,) = await after(chained, run)
        assert sorry.pipeline == "p/d/sorry"
        await replay(chained.services, "acme", run.run_id)
        ended = await chained.worker.wait("acme", run.run_id)
        assert ended.status == "completed"
        assert [each.pipeline for each in await after(chained, ended)] == ["p/d/sorry", "p/d/next"]

    chained.run_scenario(scenario)


def test_a_cancelled_run_starts_nothing(chained: Engine) -> None:
    async def scenario() -> None:
        chained.bus.detach()
        run = await chained.start()
        await cancel(chained.services, "acme", run.run_id)
        assert len(await runs(chained)) == 1

    chained.run_scenario(scenario)


def test_a_lost_answer_and_a_second_end_make_no_second_run(chained: Engine) -> None:
    async def scenario() -> None:
        chained.bus.detach()
        run = await chained.start()
        commit = chained.documents.commit

        async def loses_its_answer(writes: Any) -> Any:
            versions = await commit(writes)
            if all(write.path != run.path for write in writes):
                return versions
            chained.documents.commit = commit  # type: ignore[method-assign]
            raise Transient("the answer was lost")

        stored = await read_run(chained.services, run.run_id)
        assert stored is not None
        chained.documents.commit = loses_its_answer  # type: ignore[method-assign]
        await finish_run(chained.services, stored)
        await finish_run(chained.services, stored)  # by another process, which read it before
        assert sorted(each.pipeline for each in await runs(chained)) == ["p/d/n", "p/d/next"]

    chained.run_scenario(scenario)


def test_a_target_that_is_gone_is_a_dead_letter_and_the_others_run(chained: Engine) -> None:
    chained.pipeline("then: {on_success: [{pipeline: p/d/gone}, {pipeline: p/d/sorry}]}\n" + one())
    goes_away(chained, "p/d/gone")

    async def scenario() -> None:
        run = await chained.run()
        assert [each.pipeline for each in await after(chained, run)] == ["p/d/sorry"]
        letter = await chained.data(f"dead_letters/{run.run_id}._then.on_success.0.0")
        assert (letter["error"]["code"], letter["org"]) == ("not_found", "acme")
        assert "p/d/gone does not run after this run" in letter["error"]["message"]

    chained.run_scenario(scenario)


def test_a_run_that_could_not_follow_is_started_by_its_dead_letter_once(chained: Engine) -> None:
    chained.pipeline("then: {on_success: [{pipeline: p/d/sorry}, {pipeline: p/d/gone}]}\n" + one())
    goes_away(chained, "p/d/gone")

    async def scenario() -> None:
        run = await chained.run()
        letter = f"{run.run_id}._then.on_success.1.0"
        with pytest.raises(NotFound, match="p/d/gone"):
            await replay_dead_letter(chained.services, "acme", letter)
        everything = Filter(org="acme", state=DeadLetterState.OPEN)
        found = await plan_replays(chained.services, everything, parameters=None, latest=False)
        assert found.runs == 0, "the run that ended well has nothing to replay"

        chained.pipeline(one(), "p/d/gone")
        with pytest.raises(InvalidInput, match="with the parameters written there"):
            await replay_dead_letter(chained.services, "acme", letter, parameters={"region": "us"})
        started = await replay_dead_letter(chained.services, "acme", letter)
        assert (started.pipeline, started.parent_run) == ("p/d/gone", run.run_id)
        assert [each.pipeline for each in await after(chained, run)] == ["p/d/sorry", "p/d/gone"]
        with pytest.raises(InvalidInput, match=f"is completed already: run {started.run_id} was started"):
            await replay_dead_letter(chained.services, "acme", letter)
        assert len(await runs(chained)) == 3

    chained.run_scenario(scenario)


def test_a_chain_ends_when_too_many_runs_are_before_one(chained: Engine) -> None:
    async def scenario() -> None:
        chained.bus.detach()
        run = await chained.start()
        await chained.documents.commit([Patch(run.path, {("chain_depth",): DEPTH_MAX})])
        stored = await read_run(chained.services, run.run_id)
        assert stored is not None
        await finish_run(chained.services, stored)
        assert len(await runs(chained)) == 1
        letter = await chained.data(f"dead_letters/{run.run_id}._then.on_success.0.0")
        assert "makes a loop" in letter["error"]["message"]

    chained.run_scenario(scenario)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("{pipeline: p/d/n}", "it would never end: p/d/n → p/d/n"),
        ("{pipeline: p/d/gone}", "p/d/gone"),
        ("{pipeline: p/d/next, parameters: {regoin: us}}", "regoin"),
    ],
)
def test_a_run_is_refused_for_what_validate_refuses_in_then(chained: Engine, target: str, reason: str) -> None:
    chained.pipeline(f"then: {{on_failure: [{target}]}}\n" + one())

    async def scenario() -> None:
        with pytest.raises(ConfigErrors, match=reason):
            await chained.start()
        assert await runs(chained) == []

    chained.run_scenario(scenario)


def test_a_loop_that_comes_with_an_edit_ends_at_the_next_run(chained: Engine) -> None:
    async def load(config: Any, context: Any) -> dict[str, Any]:
        chained.pipeline(DAYS + "then: {on_success: [p/d/n]}\n" + one(), "p/d/next")
        return {"status": "SUCCESS"}

    chained.works["load_a"] = load

    async def scenario() -> None:
        (following,) = await after(chained, await chained.run())
        assert following.status == "failed"
        assert len(await runs(chained)) == 2

    chained.run_scenario(scenario)
