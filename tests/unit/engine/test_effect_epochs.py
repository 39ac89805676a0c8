"""What a replay closes of earlier epochs, and how the jobs of each epoch are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import pytest

from convergence.domain.plan import PlanStep
from convergence.domain.step import Applied, Step
from convergence.engine.replay import replay
from convergence.engine.step.effects import job_id
from convergence.errors import InvalidInput, StepFailed, Transient
from convergence.ports.documents import Replace
from convergence.ports.processor import Context
from convergence.ports.warehouse import Effect, LoadResult, QueryResult, Statement
from tests.unit.domain.runs import a_run
from tests.unit.engine.conftest import Engine
from tests.unit.engine.lost_commits import LABELLED, Dying, replayed, rows
from tests.unit.engine.works import one
from tests.unit.engine.writes import append


def test_the_first_epoch_closes_nothing_and_later_ones_close_all_before(engine: Engine) -> None:
    engine.pipeline(LABELLED)
    engine.works["load_a"] = Dying(append, deaths=2)
    closed: list[str] = []
    real = engine.warehouse.close_job

    async def counting(job_id: str, **options: Any) -> Effect | None:
        closed.append(job_id)
        return await real(job_id, **options)

    engine.warehouse.close_job = counting  # type: ignore[method-assign]

    async def scenario() -> Any:
        run = await engine.run()
        counts = [len(closed)]
        for _ in range(2):
            await replayed(engine, run)
            counts.append(len(closed))
        return counts

    assert engine.run_scenario(scenario) == [0, 1, 3]


def test_a_write_of_an_older_version_is_recognised(engine: Engine) -> None:
    """It kept no epochs, and its job ids were made of the target and the checkpoint."""
    engine.pipeline(LABELLED)
    engine.works["load_a"] = Dying(append)

    async def scenario() -> Any:
        run = await engine.run()
        stored = await engine.documents.get(f"runs/{run.run_id}/steps/load_a")
        assert stored is not None
        new = ("input", "epochs", "writes", "applied", "older_epochs")
        data = {name: value for name, value in stored.data.items() if name not in new}
        await engine.documents.commit([Replace(stored.path, stored.version, data)])
        older = blake2b(f"{run.run_id}/load_a/0/rows/append/1/null".encode(), digest_size=16).hexdigest()
        engine.warehouse.jobs = {f"load_{older}": (LoadResult(1, 0), "")}
        return await replayed(engine, run)

    assert engine.run_scenario(scenario).status == "completed"
    assert rows(engine) == ["old"]


def test_a_step_without_epochs_was_claimed_in_all_before() -> None:
    data = Step(step_id="a", epoch=2).to_data()
    for name in ("input", "epochs", "writes", "applied", "older_epochs"):
        del data[name]
    older = Step.from_data(data)
    assert (older.epochs, older.older_epochs) == ((0, 1, 2), 3)
    again = Step.from_data(older.to_data())
    assert (again.epochs, again.older_epochs, again.claimed_in(3)) == ((0, 1, 2), 3, (0, 1, 2, 3))


def test_the_key_for_other_services_stays_the_same_in_a_replay(engine: Engine) -> None:
    engine.pipeline(LABELLED)
    keys: list[str] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        keys.extend([context.idempotency_key(), context.idempotency_key(2)])
        raise StepFailed("again")

    engine.works["load_a"] = work

    async def scenario() -> Any:
        return await replayed(engine, await engine.run())

    engine.run_scenario(scenario)
    assert keys[:2] == keys[2:]
    assert len(set(keys)) == 2


def test_a_word_on_a_step_that_will_not_run_is_refused(engine: Engine) -> None:
    engine.pipeline(LABELLED)
    engine.works["load_a"] = Dying(append)

    async def scenario() -> None:
        run = await engine.run()
        with pytest.raises(InvalidInput, match=r"'load_b' is not a step of this run.*Did you mean 'load_a'"):
            await replay(engine.services, "acme", run.run_id, applied={"load_b": Applied.KEEP})

    engine.run_scenario(scenario)


def test_a_job_is_named_after_run_step_epoch_and_its_own_name() -> None:
    run, planned = a_run(), PlanStep(step_id="a", ps_type="generic.noop")
    first = job_id(run, planned, "query", 0, "n")
    others = [
        job_id(replace(run, run_id="run_other"), planned, "query", 0, "n"),
        job_id(run, replace(planned, step_id="b"), "query", 0, "n"),
        job_id(run, planned, "call", 0, "n"),
        job_id(run, planned, "query", 1, "n"),
        job_id(run, planned, "query", 0, "m"),
    ]
    assert first == job_id(run, planned, "query", 0, "n")
    assert len({first, *others}) == 6


def test_a_read_that_is_waited_for_is_another_job_in_each_slice_and_epoch(engine: Engine) -> None:
    engine.pipeline(LABELLED)
    seen: list[tuple[int, Any, str]] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        async def noted(statement: Statement) -> QueryResult:
            assert statement.job_id is not None
            seen.append((context["epoch"], context.checkpoint, statement.job_id))
            return QueryResult()

        engine.warehouse.query = noted  # type: ignore[method-assign]
        for _ in range(2):
            await context.warehouse.query("SELECT 1", {}, wait_s=5.0)
        if context.checkpoint is None:
            return {"status": "CONTINUE", "checkpoint": 1}
        if len(seen) == 4:
            raise Transient("once more, and the same jobs again")
        if context["epoch"] == 0:
            raise StepFailed("to be replayed")
        return {"status": "SUCCESS"}

    engine.pipeline(one(retry={"max_attempts": 2, "backoff_seconds": 1}))
    engine.works["load_a"] = work

    async def scenario() -> Any:
        return await replayed(engine, await engine.run())

    assert engine.run_scenario(scenario).status == "completed"
    assert [where[:2] for where in seen] == [(0, None)] * 2 + [(0, 1)] * 4 + [(1, None)] * 2 + [(1, 1)] * 2
    jobs = [job for _, _, job in seen]
    assert jobs[2:4] == jobs[4:6]
    assert len(set(jobs)) == 8


def test_a_call_waits_for_a_former_job_as_long_as_for_its_own(engine: Engine) -> None:
    engine.pipeline(one())
    waits: list[float | None] = []
    close = engine.warehouse.close_job

    async def noted(job_id: str, *, scope: Any, wait_s: float | None = None) -> Effect | None:
        waits.append(wait_s)
        return await close(job_id, scope=scope, wait_s=wait_s)

    async def call(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.warehouse.call("sp_load", {}, wait_s=7.0)
        raise StepFailed("to be replayed")

    engine.warehouse.close_job = noted  # type: ignore[method-assign]
    engine.works["load_a"] = call

    async def scenario() -> None:
        await replayed(engine, await engine.run())

    engine.run_scenario(scenario)
    assert waits == [7.0]
