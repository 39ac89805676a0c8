"""Backfills: every slice gets at most one run, and after an acknowledged pause none is created."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from convergence.domain.backfill import Backfill, BackfillStatus, Mode, Slice, Step, slices_of
from convergence.engine.backfills.create import create_backfill, plan_backfill
from convergence.engine.backfills.feed import cancel_backfill, feed, feed_due, pause, read_backfill, resume
from convergence.engine.backfills.look_up import Asked, look_up
from convergence.engine.backfills.views import backfill_view, plan_of_backfill
from convergence.engine.services import EngineSettings
from convergence.errors import InvalidInput, QuotaExceeded
from convergence.ports.documents import Replace
from tests.unit.engine.backfilling import request
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import failing, one, returning


async def stored(engine: Engine, backfill: Backfill) -> Backfill:
    found = await read_backfill(engine.services, backfill.backfill_id)
    assert found is not None
    return found.backfill


async def to_its_end(engine: Engine, backfill: Backfill) -> Backfill:
    await engine.worker.start()
    await feed(engine.services, backfill.backfill_id)
    while not (now := await stored(engine, backfill)).over and now.status is BackfillStatus.RUNNING:
        await engine.clock.sleep(1)
    return now


async def runs(engine: Engine) -> list[dict[str, Any]]:
    return [document.data for document in (await engine.documents.query("runs", limit=100)).documents]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step.DAY, 12),
        (Step.WEEK, 3),
        (Step.MONTH, 2),
    ],
)
def test_slices_cover_the_range_without_gap_or_overlap(step: Step, expected: int) -> None:
    found = list(slices_of(date(2026, 1, 23), date(2026, 2, 3), step))
    assert len(found) == expected
    assert (found[0].start, found[-1].end) == (date(2026, 1, 23), date(2026, 2, 3))
    for before, after in pairwise(found):
        assert (after.start - before.end).days == 1


def test_a_leap_years_february_is_one_month() -> None:
    assert list(slices_of(date(2028, 2, 1), date(2028, 2, 29), Step.MONTH)) == [
        Slice(date(2028, 2, 1), date(2028, 2, 29))
    ]


def test_a_backfill_runs_each_slice_once_newest_first(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request())
        ended = await to_its_end(engine, backfill)
        assert (ended.status, ended.states) == (BackfillStatus.DONE, "ddddd")
        found = await runs(engine)
        days = {run["run_id"]: run["parameters"]["start_date"] for run in found}
        events = [orjson.loads(event) for event in engine.events]
        queued = [days[event["data"]["run_id"]] for event in events if event["type"] == "run.queued"]
        assert queued == [f"2026-02-0{day}" for day in (5, 4, 3, 2, 1)]
        assert all(run["parameters"]["start_date"] == run["parameters"]["end_date"] for run in found)
        assert {run["trigger"] for run in found} == {"backfill"}

    engine.run_scenario(scenario)


def test_many_feeders_at_once_start_each_slice_once_and_keep_to_the_window(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request(concurrency=2))
        await asyncio.gather(*(feed(engine.services, backfill.backfill_id) for _ in range(6)))
        assert len(await runs(engine)) == 2
        assert (await stored(engine, backfill)).states == "...rr"

    engine.run_scenario(scenario)


def test_complete_slices_are_left_and_failed_ones_run_again(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.run(parameters={"start_date": "2026-02-02", "end_date": "2026-02-03"})
        engine.works["load_a"] = failing(ValueError("broken"), times=1)
        await engine.run(parameters={"start_date": "2026-02-04", "end_date": "2026-02-04"})
        plan = await plan_backfill(engine.services, request())
        assert [each.state for each in plan.found] == ["missing", "complete", "complete", "failed", "missing"]
        view = plan_of_backfill(plan)
        assert (view["runs"], view["replaced"]) == (3, 0)
        only_failed = await plan_backfill(engine.services, request(mode=Mode.FAILED))
        assert only_failed.backfill.states == "scc.s"
        assert [each["action"] for each in plan_of_backfill(only_failed)["slices"]] == [
            *("skip", "keep", "keep", "run", "skip")
        ]
        everything = plan_of_backfill(await plan_backfill(engine.services, request(mode=Mode.ALL)))
        assert (everything["runs"], everything["replaced"]) == (5, 2)

    engine.run_scenario(scenario)


def test_it_stops_after_so_many_failures_and_goes_on_when_it_is_resumed(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(ValueError("broken"), times=2)

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request(failures_max=2))
        ended = await to_its_end(engine, backfill)
        assert ended.status is BackfillStatus.STOPPED
        assert ended.states == "...ff"
        assert "2 of its runs failed" in ended.reason
        await resume(engine.services, "acme", backfill.backfill_id)
        again = await to_its_end(engine, backfill)
        assert (again.status, again.states) == (BackfillStatus.DONE, "dddff")
        assert backfill_view(again)["counts"]["failed"] == 2

    engine.run_scenario(scenario)


def test_after_a_pause_no_run_is_created_and_cancelling_ends_those_under_way(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request(concurrency=2))
        await feed(engine.services, backfill.backfill_id)
        await pause(engine.services, "acme", backfill.backfill_id)
        await engine.clock.sleep(61)
        await feed_due(engine.services)
        assert len(await runs(engine)) == 2
        ended = await cancel_backfill(engine.services, "acme", backfill.backfill_id)
        assert ended.states == "...xx"
        assert {run["status"] for run in await runs(engine)} == {"cancelled"}
        with pytest.raises(InvalidInput, match="cancelled already"):
            await pause(engine.services, "acme", backfill.backfill_id)

    engine.run_scenario(scenario)


def test_a_lost_hint_is_made_up_for_by_the_next_check(engine: Engine) -> None:
    engine.pipeline(one())
    subscriptions = engine.bus.detach()

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request())  # nothing hints at it
        engine.bus.attach(subscriptions)
        assert await feed_due(engine.services) == 1
        assert (await stored(engine, backfill)).window

    engine.run_scenario(scenario)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"start": date(2020, 1, 1)}, "are more than 1,100"),
        ({"start": date(2026, 3, 1)}, "is after the last day"),
        ({"concurrency": 21}, "from 1 to 20"),
        ({"failures_max": 1_101}, "failures_max must be a number from 1 to 1,100, not 1,101"),
        ({"parameters": {"start_date": "2026-01-01"}}, "leave it out"),
        ({"parameters": {"nope": 1}}, "no parameter is called"),
        ({"start": date(1, 1, 1), "end": date(1, 1, 2)}, "in the years 1970 to 2999"),
        ({"start": date(9999, 12, 30), "end": date(9999, 12, 31)}, "in the years 1970 to 2999"),
        ({"start": date(1970, 1, 1), "end": date(2999, 12, 31), "step": Step.WEEK}, "more than 1,100 slices"),
        ({"parameters": {"api_key": "sk-secret"}}, "a backfill may not contain secrets: api_key"),
        ({"parameters": {"note": "x" * 17_000}}, "at most 16384 bytes"),
    ],
)
def test_a_wrong_request_is_refused_with_its_limit(engine: Engine, more: dict[str, Any], reason: str) -> None:
    engine.pipeline(one() + "\nparameters: {api_key: {type: secret}, note: {type: string, default: ''}}")

    async def scenario() -> None:
        with pytest.raises(InvalidInput, match=reason):
            await create_backfill(engine.services, request(**more))
        assert not (await engine.documents.query("backfills", limit=1)).documents

    engine.run_scenario(scenario)


def test_a_backfill_whose_pipeline_is_gone_stops_and_says_so(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request())
        del engine.pipelines.loaded["p/d/n"]
        await feed(engine.services, backfill.backfill_id)
        found = await stored(engine, backfill)
        assert (found.status, found.next_check_at) == (BackfillStatus.STOPPED, None)
        assert "Pipeline not found" in found.reason

    engine.run_scenario(scenario)


def test_so_many_backfills_of_an_org_run_at_a_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.engine.backfills.create.RUNNING_MAX", 2)
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("globex")
        first, _ = [await create_backfill(engine.services, request()) for _ in range(2)]
        with pytest.raises(QuotaExceeded, match="acme has 2 backfills running"):
            await create_backfill(engine.services, request())
        await create_backfill(engine.services, request(org="globex"))
        await pause(engine.services, "acme", first.backfill_id)
        await create_backfill(engine.services, request())
        with pytest.raises(QuotaExceeded, match="acme has 2 backfills running"):
            await resume(engine.services, "acme", first.backfill_id)

    engine.run_scenario(scenario)


def test_a_long_history_is_looked_through_without_looking_at_every_slice(engine: Engine) -> None:
    engine.pipeline(one())
    looked_at = 0

    class Day(date):
        def toordinal(self) -> int:
            nonlocal looked_at
            looked_at += 1
            return super().toordinal()

    async def scenario() -> None:
        for day in range(1, 21):
            run = await engine.run(parameters={"date": f"2020-01-{day:02}"})
        days = [Day(2024, 1, 1) + timedelta(days=n) for n in range(1_000)]
        assert all(isinstance(day, Day) for day in days)
        asked = Asked(engine.pipelines.get("p/d/n"), {}, "", run)
        found = await look_up(engine.services, asked, [Slice(day, day) for day in days])
        assert {each.state for each in found} == {"missing"}
        assert looked_at <= 2 * 1_000 + 2, "each slice once, not once for each run"

    engine.run_scenario(scenario)


def test_a_backfill_whose_run_is_stored_already_goes_on(engine: Engine) -> None:
    """As after its document was restored from a backup."""
    engine.pipeline(one())
    engine.bus.detach()  # nothing starts by itself

    async def scenario() -> None:
        backfill = await create_backfill(engine.services, request())
        await feed(engine.services, backfill.backfill_id)
        first = await runs(engine)
        document = await engine.documents.get(backfill.path)
        assert document is not None
        await engine.documents.commit([Replace(backfill.path, document.version, backfill.to_data())])
        await feed(engine.services, backfill.backfill_id)
        after = await stored(engine, backfill)
        assert list(after.window) == [run["run_id"] for run in first]
        assert await runs(engine) == first

    engine.run_scenario(scenario)


def test_a_backfill_keeps_everything_that_was_asked_for(engine: Engine) -> None:
    engine.pipeline("parameters: [{name: region, type: string, default: x}]\n" + one())

    async def scenario() -> None:
        asked = request(parameters={"region": "eu"}, newest_first=False, concurrency=3, failures_max=1, step=Step.WEEK)
        backfill = await create_backfill(engine.services, asked)
        kept = await stored(engine, backfill)
        assert kept == backfill
        assert (kept.parameters, kept.newest_first, kept.concurrency, kept.failures_max, kept.step) == (
            {"region": "eu"},
            False,
            3,
            1,
            Step.WEEK,
        )
        assert backfill_view(kept)["order"] == "oldest"

    engine.run_scenario(scenario)


def test_a_plan_says_what_it_costs_where_earlier_runs_know_and_that_it_is_not_known_elsewhere(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.worker.start()
        engine.works["load_a"] = returning({"status": "SUCCESS", "rows_written": 1, "bytes_processed": None})
        await engine.run(parameters={"start_date": "2026-02-01", "end_date": "2026-02-01"})
        await engine.clock.sleep(60)  # the reconciler counts what ended
        plan = plan_of_backfill(await plan_backfill(engine.services, request(mode=Mode.ALL)))
        assert (plan["rows"], plan["bytes_processed"], plan["cost_usd"]) == (5, None, None)
        for day, size in (("02", 3_000), ("03", 1_000)):
            engine.works["load_a"] = returning({"status": "SUCCESS", "rows_written": 1, "bytes_processed": size})
            await engine.run(parameters={"start_date": f"2026-02-{day}", "end_date": f"2026-02-{day}"})
        await engine.clock.sleep(60)
        plan = plan_of_backfill(await plan_backfill(engine.services, request(mode=Mode.ALL)))
        assert [each["bytes_processed"] for each in plan["slices"]] == [None, 3_000, 1_000, None, None]
        assert (plan["runs"], plan["bytes_processed"], plan["cost_usd"]) == (5, 10_000, "0.000000")
        plan = plan_of_backfill(await plan_backfill(engine.services, request()))
        assert (plan["runs"], plan["bytes_processed"]) == (2, 4_000)
        engine.services = replace(engine.services, settings=EngineSettings(query_usd_per_tib=Decimal(2**40)))
        assert plan_of_backfill(await plan_backfill(engine.services, request()))["cost_usd"] == "4000.00"

    engine.run_scenario(scenario)


def test_a_plan_says_how_many_rows_the_last_runs_of_the_same_days_wrote(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = returning({"status": "SUCCESS", "rows_written": 40})

    async def scenario() -> None:
        await engine.run(parameters={"start_date": "2026-02-02", "end_date": "2026-02-02"})
        engine.works["load_a"] = returning({"status": "SUCCESS", "rows_written": 60})
        await engine.run(parameters={"start_date": "2026-02-03", "end_date": "2026-02-03"})
        await engine.run(parameters={"start_date": "2026-02-04", "end_date": "2026-02-05"})
        plan = plan_of_backfill(await plan_backfill(engine.services, request(mode=Mode.ALL)))
        rows = [(each["start"][-2:], each["state"], each["rows"]) for each in plan["slices"]]
        assert rows == [
            ("01", "missing", None),
            ("02", "complete", 40),
            ("03", "complete", 60),
            ("04", "complete", None),  # that run was of two days: how many rows are of which is not known
            ("05", "complete", None),
        ]
        assert (plan["runs"], plan["replaced"], plan["rows"]) == (5, 4, 250)

    engine.run_scenario(scenario)
