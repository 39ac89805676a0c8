"""What a backfill makes of slices that earlier runs have, are at work on, or never had."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest

from convergence.domain.backfill import Backfill, BackfillStatus, Mode, Step
from convergence.domain.run import Run
from convergence.engine.backfills.create import BackfillRequest, create_backfill, plan_backfill
from convergence.engine.backfills.feed import cancel_backfill, feed, feed_due, require_backfill
from convergence.engine.backfills.views import backfill_view
from convergence.engine.cancel import cancel
from convergence.engine.replay import replay
from convergence.errors import StepFailed
from convergence.ports.documents import Delete
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import failing, one

TAGGED = (
    "parameters: {tag: {type: string, default: a}, label: {type: string, default: 'of {date}'}, n: {type: integer},"
    " as_of: {type: date, default: TODAY}, key: {type: secret}}\n"
)

MARCH_5 = {"date": "2026-03-05", "start_date": "2026-03-05", "end_date": "2026-03-05"}


def request(first: int = 3, last: int = 3, **more: Any) -> BackfillRequest:
    given: dict[str, Any] = {"org": "acme", "pipeline": "p/d/n", "mode": Mode.MISSING} | more
    return BackfillRequest(start=date(2026, 3, first), end=date(2026, 3, last), **given)


async def found(engine: Engine, **more: Any) -> list[str]:
    return [each.state for each in (await plan_backfill(engine.services, request(**more))).found]


async def ended(engine: Engine, backfill: Backfill) -> Backfill:
    """Feed it, as the ticks do, until it is over."""
    while not (now := await feed(engine.services, backfill.backfill_id)) or not now.over:
        await engine.clock.sleep(10)
    return now


class Held:
    """A step that ends when it is told to, the first time with an error."""

    def __init__(self, error: Exception | None) -> None:
        self.began, self.go, self.error = asyncio.Event(), asyncio.Event(), error

    async def __call__(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        self.began.set()
        await self.go.wait()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return {"status": "SUCCESS"}


@pytest.mark.parametrize(
    ("error", "states", "own_runs"), [(None, "c", 0), (ValueError("broken"), "d", 1)], ids=["completes", "fails"]
)
@pytest.mark.parametrize("mode", [Mode.MISSING, Mode.FAILED])
def test_the_end_of_a_run_that_was_under_way_decides_its_slice(
    engine: Engine, error: Exception | None, states: str, own_runs: int, mode: Mode
) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = work = Held(error)

    async def scenario() -> None:
        await engine.worker.start()
        run = await engine.start(parameters={"date": "2026-03-03"})
        await work.began.wait()
        backfill = await create_backfill(engine.services, request(mode=mode))
        now = await feed(engine.services, backfill.backfill_id)
        assert now is not None
        view = backfill_view(now)
        assert (view["status"], view["counts"]["running"], view["counts"]["complete"]) == ("running", 1, 0)
        assert (view["progress"], view["window"]) == (0, [run.run_id])
        work.go.set()
        over = await ended(engine, backfill)
        assert (over.status, over.states) == (BackfillStatus.DONE, states)
        documents = (await engine.documents.query("runs", limit=9)).documents
        assert sum(each.data.get("backfill_id") == backfill.backfill_id for each in documents) == own_runs

    engine.run_scenario(scenario)


def test_a_cancelled_backfill_leaves_the_run_of_another_alone(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        run = await engine.start(parameters={"start_date": "2026-03-03", "end_date": "2026-03-04"})
        backfill = await create_backfill(engine.services, request(2, 4))
        assert backfill.others == {run.run_id: [1, 2]}
        await feed(engine.services, backfill.backfill_id)
        over = await cancel_backfill(engine.services, "acme", backfill.backfill_id)
        assert (over.status, over.states, over.next_check_at) == (BackfillStatus.CANCELLED, "x..", None)
        assert (await engine.data(run.path))["status"] == "running"

    engine.run_scenario(scenario)


def test_a_slice_waits_for_each_run_that_is_at_work_on_it_and_runs_when_one_does_not_complete(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        first, second = [await engine.start(parameters={"date": f"2026-03-0{day}"}) for day in (2, 3)]
        backfill = await create_backfill(engine.services, request(2, 3, step=Step.WEEK))
        assert (backfill.states, backfill.others) == ("r", {first.run_id: [0], second.run_id: [0]})
        await cancel(engine.services, "acme", second.run_id)
        await feed_due(engine.services)
        now = (await require_backfill(engine.services, "acme", backfill.backfill_id)).backfill
        assert (now.states, now.others, list(now.window.values())) == ("r", {}, [0])

    engine.run_scenario(scenario)


@pytest.mark.parametrize(("replayed", "states"), [({}, "c"), ({"end_date": "2026-03-04"}, "c"), (MARCH_5, "r")])
def test_a_run_that_was_replayed_for_other_days_completes_none_of_its_former(
    engine: Engine, replayed: dict[str, str], states: str
) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = work = Held(StepFailed("no"))

    async def scenario() -> None:
        await engine.worker.start()
        run = await engine.start(parameters={"date": "2026-03-03"})
        await work.began.wait()
        backfill = await create_backfill(engine.services, request())
        assert backfill.others == {run.run_id: [0]}
        work.go.set()
        await engine.worker.wait("acme", run.run_id)
        await replay(engine.services, "acme", run.run_id, parameters=replayed or None)
        await engine.worker.wait("acme", run.run_id)
        engine.bus.detach()
        now = await feed(engine.services, backfill.backfill_id)
        assert now is not None
        assert (now.states, now.others, len(now.window)) == (states, {}, int(states == "r"))

    engine.run_scenario(scenario)


def test_a_slice_whose_run_is_gone_is_run_again_as_nothing_says_how_it_ended(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request())
        began = await feed(engine.services, backfill.backfill_id)
        assert began is not None
        (run_id,) = began.window
        await engine.documents.commit([Delete(f"runs/{run_id}")])
        now = await feed(engine.services, backfill.backfill_id)
        assert now is not None
        assert (now.states, list(now.window)) == ("r", [run_id])
        assert (await engine.data(f"runs/{run_id}"))["status"] == "queued"

    engine.run_scenario(scenario)


def test_mode_failed_skips_what_never_ran_and_says_so(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.run(parameters={"date": "2026-03-03"})
        backfill = await create_backfill(engine.services, request(2, 4, mode=Mode.FAILED))
        over = await ended(engine, backfill)
        view = backfill_view(over)
        assert (view["status"], view["counts"]["complete"], view["counts"]["skipped"]) == ("done", 1, 2)
        assert view["reason"] == "no run for 2 slices without an earlier one: mode failed"

    engine.run_scenario(scenario)


def test_a_backfill_of_an_earlier_release_reads_as_it_was(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        data = (await plan_backfill(engine.services, request())).backfill.to_data()
        del data["others"]
        old = Backfill.from_data({**data, "states": "c"})
        assert (old.others, old.counts()["complete"], old.counts()["skipped"]) == ({}, 1, 0)

    engine.run_scenario(scenario)


@pytest.mark.parametrize(
    ("run", "asked", "state"),
    [
        ({}, {}, "complete"),
        ({}, {"tag": "a"}, "complete"),
        ({"tag": "a"}, {}, "complete"),
        ({"tag": "a"}, {"tag": "b"}, "missing"),
        ({"tag": "b"}, {}, "missing"),
        ({"n": 1}, {"n": "1"}, "complete"),
        ({"n": 1}, {}, "missing"),
        ({}, {"n": 1}, "missing"),
        ({"label": "x"}, {}, "missing"),
        ({"as_of": "2026-01-01"}, {}, "missing"),
        ({"as_of": "2026-01-01"}, {"as_of": "2026-01-01"}, "complete"),
        ({"key": "sk-1"}, {}, "complete"),
        ({"force_refresh": True}, {}, "complete"),
    ],
)
def test_only_a_run_with_the_same_parameters_completes_a_slice(
    engine: Engine, run: dict[str, Any], asked: dict[str, Any], state: str
) -> None:
    engine.pipeline(TAGGED + one())

    async def scenario() -> None:
        for day in (3, 4):
            at = datetime(2026, 3, day + 1, tzinfo=UTC)  # TODAY is another day than that of the backfill
            await engine.run(parameters={"date": f"2026-03-0{day}", **run}, fire_time=at)
        assert await found(engine, first=3, last=4, parameters=asked) == [state] * 2

    engine.run_scenario(scenario)


def test_a_queued_run_of_another_backfill_is_compared_with_its_defaults(engine: Engine) -> None:
    engine.pipeline(TAGGED + one())
    engine.bus.detach()

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request(parameters={"n": "1"}))
        await feed(engine.services, backfill.backfill_id)
        assert await found(engine, parameters={"tag": "a", "n": 1}) == ["active"]
        assert await found(engine, parameters={"tag": "b", "n": 1}) == ["missing"]

    engine.run_scenario(scenario)


def test_a_parameter_that_the_file_has_now_or_had_then_says_nothing(engine: Engine) -> None:
    engine.pipeline("parameters: {old: {type: string, default: x}}\n" + one())

    async def scenario() -> None:
        await engine.run(parameters={"date": "2026-03-03", "old": "y"})
        engine.pipeline("parameters: {new: {type: string, default: x}}\n" + one())
        assert await found(engine) == ["complete"]
        assert await found(engine, parameters={"new": "x"}) == ["complete"]
        assert await found(engine, parameters={"new": "y"}) == ["missing"]

    engine.run_scenario(scenario)


def test_a_week_is_complete_when_each_of_its_days_is(engine: Engine) -> None:
    engine.pipeline(one())

    async def run(day: int) -> Run:
        return await engine.run(parameters={"date": f"2026-03-{day:02}"})

    async def scenario() -> None:
        for day in range(2, 8):
            await run(day)
        assert await found(engine, first=2, last=8, step=Step.WEEK) == ["missing"], "Sunday"
        await run(8)
        assert await found(engine, first=2, last=15, step=Step.WEEK) == ["complete", "missing"]
        engine.works["load_a"] = failing(ValueError("broken"), times=1)
        await run(5)
        assert await found(engine, first=2, last=8, step=Step.WEEK) == ["failed"]

    engine.run_scenario(scenario)
