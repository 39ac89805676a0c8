"""The same run again, from where it failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from convergence.engine.cancel import cancel
from convergence.engine.dead_letters.act import replay_dead_letter
from convergence.engine.replay import replay
from convergence.engine.views.runs import status
from convergence.errors import InvalidInput, NotFound, StepFailed
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one


def test_replay_goes_on_where_the_run_failed(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def scenario() -> Any:
        run = await engine.run()
        (dead_letter,) = (await engine.documents.query("dead_letters")).documents
        letter_id = dead_letter.path.rpartition("/")[2]
        await replay_dead_letter(engine.services, "acme", letter_id)
        ended = await engine.worker.wait("acme", run.run_id)
        with pytest.raises(InvalidInput, match=f"dead letter {letter_id} was replayed already"):
            await replay_dead_letter(engine.services, "acme", letter_id)
        with pytest.raises(InvalidInput, match="only failed and cancelled runs"):
            await replay(engine.services, "acme", run.run_id)
        return ended

    run = engine.run_scenario(scenario)
    assert (run.status, run.epoch, run.error) == ("completed", 1, None)
    assert engine.started == ["extract_a", "load_b", "load_b"]


def test_a_dead_letter_is_replayed_once_also_while_its_run_is_under_way(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("x"))

    async def scenario() -> None:
        run = await engine.run()
        (dead_letter,) = (await engine.documents.query("dead_letters")).documents
        letter_id = dead_letter.path.rpartition("/")[2]
        engine.bus.detach()
        await replay_dead_letter(engine.services, "acme", letter_id)
        refusal = f"dead letter {letter_id} was replayed already; run {run.run_id} is running"
        with pytest.raises(InvalidInput, match=refusal):
            await replay_dead_letter(engine.services, "acme", letter_id)

    engine.run_scenario(scenario)


def test_steps_that_neither_the_run_nor_its_replay_reached_are_cancelled(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["extract_a"] = failing(StepFailed("x"))

    async def scenario() -> list[list[str]]:
        seen, run = [], await engine.run()
        for _ in range(2):
            view = await status(engine.services, "acme", run.run_id)
            seen.append([step["status"] for step in view["steps"]])
            await replay(engine.services, "acme", run.run_id)
            await engine.worker.wait("acme", run.run_id)
        return seen

    assert engine.run_scenario(scenario) == [["failed", "cancelled"]] * 2


def test_a_replay_moves_steps_that_never_began_into_its_epoch_too(engine: Engine) -> None:
    """A message of the old epoch that is still under way must find nothing that it could begin."""
    engine.pipeline(TWO)
    engine.works["extract_a"] = failing(StepFailed("x"))

    async def scenario() -> list[Any]:
        run = await engine.run()
        assert await engine.documents.get(f"{run.path}/steps/load_b") is None
        engine.bus.detach()
        await replay(engine.services, "acme", run.run_id)
        return [await engine.data(f"{run.path}/steps/{name}") for name in ("extract_a", "load_b")]

    for step in engine.run_scenario(scenario):
        assert (step["status"], step["epoch"], step["transitions"][-1][-1]) == ("retrying", 1, "replay 1")


def test_replay_with_other_parameters_or_the_latest_file(engine: Engine) -> None:
    text = "parameters: {limit: {type: integer, default: 1}}\n"
    engine.pipeline(text + one(config={"limit": "{limit}"}))
    seen: list[Any] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.append(step_config["config"]["limit"])
        raise StepFailed("again")

    engine.works["load_a"] = work

    async def scenario() -> None:
        run = await engine.run()
        await replay(engine.services, "acme", run.run_id, parameters={"limit": "7"})
        await engine.worker.wait("acme", run.run_id)
        engine.pipeline(text + one(config={"limit": "{limit}0"}))
        with pytest.raises(InvalidInput, match="has changed since"):
            await replay(engine.services, "acme", run.run_id, parameters={"limit": 8})
        await replay(engine.services, "acme", run.run_id, latest=True)
        await engine.worker.wait("acme", run.run_id)

    engine.run_scenario(scenario)
    assert seen == [1, 7, "70"]


def test_another_orgs_run_does_not_exist(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("other")
        run = await engine.run()
        for call in (cancel, replay):
            with pytest.raises(NotFound, match="other has no run"):
                await call(engine.services, "other", run.run_id)

    engine.run_scenario(scenario)


def test_dates_of_a_replay_are_those_of_the_runs_own_time_zone(engine: Engine) -> None:
    engine.pipeline("parameters: {date: {type: date, default: '2026-01-01'}}\n" + one())
    engine.works["load_a"] = failing(StepFailed("x"))

    async def scenario() -> Any:
        late = datetime(2026, 3, 1, 20, tzinfo=UTC)  # the next morning in Tokyo
        run = await engine.run(fire_time=late, timezone="Asia/Tokyo")
        return (await replay(engine.services, "acme", run.run_id, parameters={"date": "TODAY"})).parameters

    assert engine.run_scenario(scenario)["date"] == "2026-03-02"
