"""What is kept for how long, and how it is removed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from convergence.config.files.models import Kept, Retention
from convergence.config.files.retention import check_profile
from convergence.domain.backfill import BackfillStatus
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.backfills.create import BackfillRequest, create_backfill
from convergence.engine.backfills.feed import cancel_backfill, feed, pause
from convergence.engine.dead_letters.act import discard
from convergence.engine.log_rows import TABLES
from convergence.engine.replay import replay
from convergence.engine.retention import sweep as sweeping
from convergence.engine.retention.rows import count_rows, remove_rows
from convergence.engine.retention.sweep import COMMIT_MAX, sweep, sweep_due
from convergence.engine.retention.vacuum import let_older_expire, survey
from convergence.engine.store import dead_letter_write
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.documents import Create, FieldPath, Patch, Write
from convergence.ports.warehouse import ExpiredRows, StagedRows
from convergence.worker import LocalWorker
from tests.simulation.memory_warehouse import MemoryWarehouse
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one

SHORT = Kept(days=1, at_least=1, at_most=3)


@pytest.fixture
def short(engine: Engine) -> Engine:
    """An installation that keeps everything for a day, whose worker rests."""
    kept = Retention(runs=SHORT, dead_letters=SHORT, requests=SHORT)
    engine.services = replace(engine.services, retention=lambda: kept)
    engine.bus.detach()
    engine.worker = LocalWorker(engine.services, engine.bus)
    engine.pipeline(TWO)
    return engine


async def expire(engine: Engine, path: str) -> None:
    """Let the time come that is stored."""
    assert (await engine.data(path))["expire_at"] > to_text(engine.clock.now())
    await engine.documents.commit([Patch(path, {("expire_at",): to_text(engine.clock.now())})])


class CountedCalls:
    """The documents of an engine, with the calls on them counted."""

    def __init__(self, engine: Engine) -> None:
        self.made = 0
        self._documents: Any = engine.documents

    def __getattr__(self, name: str) -> Any:
        self.made += 1
        return getattr(self._documents, name)


async def paths(engine: Engine, run: Run) -> list[str]:
    found = [each.path for each in (await engine.documents.query("runs")).documents if each.path == run.path]
    for collection in (f"{run.path}/steps", f"{run.path}/plan", "dead_letters"):
        documents = (await engine.documents.query(collection, limit=500)).documents
        found += [each.path for each in documents if run.run_id in each.path]
    return found


def test_a_run_is_removed_with_all_that_belongs_to_it_and_no_other(short: Engine) -> None:
    short.works["load_b"] = failing(StepFailed("no"), times=1)

    async def scenario() -> None:
        failed, kept = await short.run(), await short.run()
        await expire(short, failed.path)
        swept = await sweep(short.services)
        assert (swept.runs, swept.documents) == (1, 5)  # the run, two steps, the plan, the dead letter
        assert await paths(short, failed) == []
        assert len(await paths(short, kept)) == 4

    short.run_scenario(scenario)


@pytest.mark.parametrize(("own", "days"), [(None, 1), (2, 2), (30, 3), (0, 1), ("2", 2), ("two", 1), (True, 1)])
def test_an_org_may_say_otherwise_within_the_bounds(short: Engine, own: Any, days: int) -> None:
    async def scenario() -> None:
        org = await short.services.orgs.get("acme")
        profile = {} if own is None else {"retention_runs_days": own}
        await short.services.orgs.change("acme", lambda each: replace(each, profile=profile), token="t")
        assert org.profile == {}
        run = await short.run()
        assert run.finished_at is not None
        assert run.expire_at == run.finished_at + timedelta(days=days)

    short.run_scenario(scenario)


def test_what_runs_again_is_kept_and_what_is_being_removed_does_not_run_again(short: Engine) -> None:
    short.works["load_b"] = failing(StepFailed("no"), times=2)

    async def scenario() -> None:
        first, second = await short.run(), await short.run()
        await expire(short, first.path)
        short.bus.detach()
        again = await replay(short.services, "acme", first.run_id)
        assert again.expire_at is None
        assert (await sweep(short.services)).runs == 0
        await short.documents.commit([Patch(second.path, {("removing",): True})])
        with pytest.raises(InvalidInput, match="is being removed"):
            await replay(short.services, "acme", second.run_id)

    short.run_scenario(scenario)


def test_no_commit_holds_more_than_a_hundred_documents_and_a_crash_goes_on(short: Engine) -> None:
    short.works["load_b"] = failing(StepFailed("no"), times=1)

    async def scenario() -> None:
        run = await short.run()
        error = {"code": "x", "message": "x"}
        for number in range(250):
            await short.documents.commit([dead_letter_write(run, f"s{number}", "x", error, 1, short.clock.now())])
        await expire(short, run.path)
        sizes: list[int] = []
        commit = short.documents.commit

        async def counted(writes: Sequence[Write]) -> list[int]:
            sizes.append(len(writes))
            if len(sizes) == 3:
                raise RuntimeError("the process died")
            return await commit(writes)

        short.documents.commit = counted  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await sweep(short.services)
        assert (await short.data(run.path))["removing"] is True, "the run goes last"
        assert (await sweep(short.services)).runs == 1
        assert await paths(short, run) == []
        assert max(sizes) <= COMMIT_MAX

    short.run_scenario(scenario)


def test_requests_and_dead_letters_that_are_done_with_are_removed_and_paused_ones_are_not(short: Engine) -> None:
    short.works["load_b"] = failing(StepFailed("no"))
    short.pipeline("parameters: {start_date: {type: date}, end_date: {type: date}}\n" + one(), "p/d/dated")

    async def scenario() -> None:
        asked = BackfillRequest(org="acme", pipeline="p/d/dated", start=date(2026, 1, 1), end=date(2026, 1, 3))
        paused, over = [await create_backfill(short.services, asked) for _ in range(2)]
        await pause(short.services, "acme", paused.backfill_id)
        await feed(short.services, paused.backfill_id)
        cancelled = await cancel_backfill(short.services, "acme", over.backfill_id)
        assert cancelled.status is BackfillStatus.CANCELLED
        assert "expire_at" not in await short.data(paused.path)
        await expire(short, over.path)
        run = await short.run()
        letter = f"dead_letters/{run.run_id}.load_b.0"
        assert "expire_at" not in await short.data(letter), "an open one stays as long as its run"
        await discard(short.services, "acme", letter.partition("/")[2], reason="not ours", by="cli")
        await expire(short, letter)
        found = await survey(short.services)
        assert (found.runs, found.dead_letters, found.requests) == (0, 1, 1)
        assert (await sweep(short.services)).documents == 2
        assert await short.documents.get(letter) is None
        assert await short.documents.get(over.path) is None
        assert await short.documents.get(paused.path) is not None

    short.run_scenario(scenario)


def test_sweeps_come_hourly_from_one_process_and_at_once_while_something_is_left(
    short: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps: list[float] = []

    async def counted(_: Any, *, seconds_max: float | None = None) -> sweeping.Swept:
        sweeps.append(seconds_max or 0.0)
        await asyncio.sleep(1)
        return sweeping.Swept(runs=1, more=len(sweeps) == 1)

    monkeypatch.setattr(sweeping, "sweep", counted)

    async def scenario() -> None:
        await asyncio.gather(*(sweep_due(short.services) for _ in range(3)))
        assert len(sweeps) == 1, "one process at a time"
        await sweep_due(short.services)
        assert len(sweeps) == 2, "something was left"
        await sweep_due(short.services)
        assert len(sweeps) == 2
        await short.clock.sleep(3601)
        await sweep_due(short.services)
        assert sweeps == [10.0] * 3

    short.run_scenario(scenario)


def test_whoever_reads_a_status_beside_a_sweep_waits_for_one_run_at_most(short: Engine) -> None:
    async def scenario() -> None:
        kept, first = await short.run(), await short.run()
        plan = await short.data(f"{first.path}/plan/0")
        for number in range(100):
            run = replace(first, run_id=f"run_{number}", expire_at=short.clock.now())
            steps = [Create(f"{run.path}/steps/s{step}", {"status": "completed"}) for step in range(3)]
            await short.documents.commit([Create(run.path, run.to_data()), Create(f"{run.path}/plan/0", plan), *steps])
        calls = CountedCalls(short)
        sweeping = asyncio.ensure_future(sweep(replace(short.services, documents=calls)))
        waited: list[int] = []
        while not sweeping.done():
            before = calls.made
            await asyncio.sleep(0)  # a request that has just arrived
            waited.append(calls.made - before)
            assert await short.documents.get(kept.path) is not None
        assert (await sweeping).runs == 100
        assert calls.made > 300, "three queries for each run, and the commits"
        assert max(waited) <= 10, "calls between two turns of the loop: a run with its children, and the next round"

    short.run_scenario(scenario)


def test_a_dead_letter_that_changes_during_a_sweep_does_not_keep_those_beside_it(short: Engine) -> None:
    short.works["load_b"] = failing(StepFailed("no"))

    async def scenario() -> None:
        letters = [f"dead_letters/{(await short.run()).run_id}.load_b.0" for _ in range(2)]
        for letter in letters:
            await discard(short.services, "acme", letter.partition("/")[2], reason="not ours", by="cli")
            await expire(short, letter)
        later, commit = to_text(short.clock.now() + timedelta(days=1)), short.documents.commit

        async def prolonged(writes: Sequence[Write]) -> list[int]:
            short.documents.commit = commit  # type: ignore[method-assign]  # of this one engine
            await commit([Patch(letters[0], {("expire_at",): later})])
            return await commit(writes)

        short.documents.commit = prolonged  # type: ignore[method-assign]  # of this one engine
        assert (await sweep(short.services)).documents == 1
        assert await short.documents.get(letters[0]) is not None
        assert await short.documents.get(letters[1]) is None

    short.run_scenario(scenario)


def test_runs_of_a_release_without_retention_get_their_expiry_at_a_vacuum(short: Engine) -> None:
    async def scenario() -> None:
        old, new = await short.run(), await short.run()
        short.bus.detach()
        unfinished = await short.start()
        before = to_text(short.clock.now() - timedelta(days=2))
        at: dict[FieldPath, Any] = {("created_at",): before, ("finished_at",): before}
        await short.documents.commit([Patch(old.path, at, [("expire_at",)])])
        await short.documents.commit([Patch(unfinished.path, at)])
        assert (await survey(short.services)).older_runs == 1
        assert await let_older_expire(short.services) == 1
        assert (await sweep(short.services)).runs == 1
        assert await paths(short, old) == []
        assert await short.documents.get(unfinished.path) is not None
        assert await short.documents.get(new.path) is not None

    short.run_scenario(scenario)


def test_a_vacuum_keeps_an_older_release_s_runs_as_long_as_their_org_says(short: Engine) -> None:
    async def scenario() -> None:
        await short.services.orgs.change(
            "acme", lambda each: replace(each, profile={"retention_runs_days": 3}), token="t"
        )
        old = await short.run()
        before = to_text(short.clock.now() - timedelta(days=2))
        at: dict[FieldPath, Any] = {("created_at",): before, ("finished_at",): before}
        await short.documents.commit([Patch(old.path, at, [("expire_at",)])])
        assert (await survey(short.services)).older_runs == 0
        assert await let_older_expire(short.services) == 0
        await short.clock.sleep(86_400)
        assert await let_older_expire(short.services) == 1

    short.run_scenario(scenario)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("retention_runs_days", "viel", "a whole number of days, not 'viel'"),
        ("retention_runs_days", -1, "a whole number of days"),
        ("retention_runs_days", 1.5, "a whole number of days"),
        ("retention_runs_days", True, "a whole number of days"),
        ("retention_run_days", 30, "Did you mean 'retention_runs_days'"),
    ],
)
def test_a_retention_without_effect_is_refused(name: str, value: Any, message: str) -> None:
    check_profile({"retention_runs_days": "30", "retention_dead_letters_days": 9, "admin_email": "a@b.example"})
    with pytest.raises(InvalidInput, match=message):
        check_profile({name: value})


class Removing(MemoryWarehouse):
    """Removes what it is told, and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Sequence[ExpiredRows], bool]] = []

    async def count_expired(self, expired: Sequence[ExpiredRows]) -> int:
        return 7

    async def remove_expired(self, expired: Sequence[ExpiredRows], *, wake: bool) -> int:
        self.told.append((expired, wake))
        return 7

    def stages_before(self, at: datetime) -> list[StagedRows]:
        return []

    def drop_stage(self, stage: StagedRows) -> None:
        raise AssertionError("there is none")


def test_rows_are_removed_where_partitions_do_not_expire(short: Engine) -> None:
    warehouse = Removing()
    services = replace(short.services, warehouse=warehouse)

    async def scenario() -> None:
        assert await remove_rows(services, wake=True) == await count_rows(services) == 7
        assert await remove_rows(short.services, wake=True) == await count_rows(short.services) == 0

    short.run_scenario(scenario)
    ((expired, wake),) = warehouse.told
    today, kept = short.clock.now().date(), short.services.retention()
    before = {each.table: (each.column, (today - each.first).days) for each in expired}
    assert (wake, before["org_meta_quarantine_rows"]) == (True, ("x_ingestion_date", kept.quarantined_rows.days))
    assert before.keys() >= set(TABLES.values())
    assert {days for table, (_, days) in before.items() if table != "org_meta_quarantine_rows"} == {kept.log_rows.days}
