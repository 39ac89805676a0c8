"""Writes happen at most once across epochs, as long as their input does not change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from convergence.domain.step import Applied
from convergence.errors import PartlyCommitted, StepFailed, StillRunning, Transient
from convergence.ports.processor import Context
from convergence.ports.warehouse import Effect, ProcedureCall, QueryResult, Statement
from tests.simulation.memory_warehouse import AT
from tests.unit.engine.conftest import Engine
from tests.unit.engine.lost_commits import LABELLED, PARAMETERS, Add, Dying, replayed, rows
from tests.unit.engine.works import one
from tests.unit.engine.writes import append, call, insert

ADDING = pytest.mark.parametrize("add", [append, insert, call])


@ADDING
def test_a_replay_takes_the_result_of_a_write_that_took_effect(engine: Engine, add: Add) -> None:
    engine.pipeline(LABELLED)
    engine.works["load_a"] = work = Dying(add, deaths=3)

    async def scenario() -> Any:
        run = await engine.run()
        for _ in range(3):
            run = await replayed(engine, run)
        return run

    run = engine.run_scenario(scenario)
    assert (run.status, run.epoch) == ("completed", 3)
    assert rows(engine) == ["old"]
    first, *others = work.answers
    for other in others:
        assert (getattr(other, "rows_loaded", 1), getattr(other, "rows_affected", 1)) == (1, 1), first


@ADDING
@pytest.mark.parametrize(
    ("option", "status", "left"),
    [
        ({"applied": {"load_a": Applied.KEEP}}, "completed", ["old"]),
        ({"applied": {"load_a": Applied.AGAIN}}, "completed", ["old", "new"]),
        ({"parameters": {"label": "old"}}, "completed", ["old"]),
        ({}, "failed", ["old"]),
    ],
    ids=["keep", "again", "former", "nothing"],
)
def test_a_write_that_took_effect_with_other_parameters_waits_for_a_word(
    engine: Engine, add: Add, option: dict[str, Any], status: str, left: list[str]
) -> None:
    engine.pipeline(LABELLED)
    engine.works["load_a"] = Dying(add)
    failed: list[Any] = []

    async def scenario() -> Any:
        run = await engine.run()
        failed.append(await replayed(engine, run, parameters={"label": "new"}))
        return await replayed(engine, run, **option)

    run = engine.run_scenario(scenario)
    assert (run.status, rows(engine)) == (status, left)
    error = failed[0].error
    assert error["code"] == "step.applied_before"
    for words in (
        "2026-03-01 00:00:00 UTC (1 rows)",
        'label was "old" and is "new"',
        "--keep load_a",
        "--again load_a",
    ):
        assert words in error["message"]


def test_a_second_time_is_recognised_too(engine: Engine) -> None:
    engine.pipeline(LABELLED)
    engine.works["load_a"] = Dying(append, deaths=1)

    async def scenario() -> Any:
        run = await engine.run()
        await replayed(engine, run, parameters={"label": "new"})
        engine.works["load_a"] = Dying(append, deaths=1)
        await replayed(engine, run, applied={"load_a": Applied.AGAIN})
        return await replayed(engine, run)

    assert engine.run_scenario(scenario).status == "completed"
    assert rows(engine) == ["old", "new"]


def test_a_slice_is_replaced_by_a_replay_with_other_parameters(engine: Engine) -> None:
    engine.pipeline(LABELLED)

    async def overwrite(context: Context, table: str) -> Any:
        stage = context.warehouse.stage(table)
        await stage.write(0, [{"label": context.parameters["label"]}])
        return await context.warehouse.load(stage, dates=[context.start_date])

    engine.works["load_a"] = Dying(overwrite)

    async def scenario() -> Any:
        return await replayed(engine, await engine.run(), parameters={"label": "new"})

    assert engine.run_scenario(scenario).status == "completed"
    assert rows(engine) == ["new"]


def test_a_statement_declared_repeatable_runs_again(engine: Engine) -> None:
    engine.pipeline(LABELLED)

    async def release(context: Context, table: str) -> Any:
        return await context.warehouse.query(table, {}, write=True, repeatable=True)

    engine.works["load_a"] = Dying(release)

    async def scenario() -> Any:
        return await replayed(engine, await engine.run(), parameters={"label": "new"})

    assert engine.run_scenario(scenario).status == "completed"


@ADDING
def test_a_step_that_writes_something_else_with_the_same_input_is_stopped(engine: Engine, add: Add) -> None:
    engine.pipeline(LABELLED)
    engine.works["load_a"] = Dying(add, tables=("rows", "others"))

    async def scenario() -> Any:
        return await replayed(engine, await engine.run())

    run = engine.run_scenario(scenario)
    assert run.error["code"] == "step.not_deterministic"
    assert 'writes something different: "others"' in run.error["message"]
    assert rows(engine) == ["old"]


@ADDING
def test_a_retry_that_writes_something_else_is_stopped(engine: Engine, add: Add) -> None:
    engine.pipeline(PARAMETERS + one(retry={"max_attempts": 3}))
    tables = iter(("rows", "others"))

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await add(context, next(tables))
        raise Transient("come back")

    engine.works["load_a"] = work
    run = engine.run_scenario(engine.run)
    assert run.error["code"] == "step.not_deterministic"
    assert len(rows(engine)) == 1


def test_writes_are_counted_over_all_slices_of_an_epoch(engine: Engine) -> None:
    engine.pipeline(LABELLED)

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        piece = context.checkpoint or 0
        await append(context)
        await insert(context)
        if piece == 2 and context["epoch"] == 0:
            raise StepFailed("the state commit was lost")
        return {"status": "CONTINUE", "checkpoint": piece + 1} if piece < 2 else {"status": "SUCCESS"}

    engine.works["load_a"] = work

    async def scenario() -> Any:
        return await replayed(engine, await engine.run())

    assert engine.run_scenario(scenario).status == "completed"
    assert len(rows(engine)) == 6


def test_a_call_that_goes_on_is_the_same_call_in_the_next_slice(engine: Engine) -> None:
    engine.pipeline(LABELLED)
    sent: list[str] = []
    real = engine.warehouse.call

    async def slow(call: ProcedureCall) -> QueryResult:
        sent.append(call.job_id)
        if len(sent) < 3:
            raise StillRunning("not yet")
        return await real(call)

    engine.warehouse.call = slow  # type: ignore[method-assign]

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await append(context)
        try:
            await call(context)
        except StillRunning:
            return {"status": "CONTINUE", "checkpoint": context.checkpoint}
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    assert engine.run_scenario(engine.run).status == "completed"
    assert len(set(sent)) == 1
    assert len(rows(engine)) == 2


@pytest.mark.parametrize(
    ("option", "repeatable", "status", "calls"),
    [
        ({}, False, "failed", 1),
        ({"applied": {"load_a": Applied.KEEP}}, False, "failed", 1),
        ({"applied": {"load_a": Applied.AGAIN}}, False, "completed", 2),
        ({}, True, "completed", 2),
    ],
    ids=["nothing", "keep", "again", "repeatable"],
)
def test_a_call_that_was_partly_committed_is_not_repeated_without_a_word(
    engine: Engine, option: dict[str, Any], repeatable: bool, status: str, calls: int
) -> None:
    engine.pipeline(LABELLED)
    asked: list[ProcedureCall] = []
    real = engine.warehouse.call

    async def half(call: ProcedureCall) -> QueryResult:
        asked.append(call)
        if len(asked) == 1:
            raise PartlyCommitted("it failed after 1 of its changes were committed")
        return await real(call)

    async def closed(job_id: str, **_: Any) -> Effect | None:
        return Effect("", AT, None, partial=True) if job_id == asked[0].job_id else None

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.warehouse.call("rows", {}, repeatable=repeatable)
        return {"status": "SUCCESS"}

    engine.warehouse.call, engine.warehouse.close_job = half, closed  # type: ignore[method-assign]
    engine.works["load_a"] = work

    async def scenario() -> Any:
        return await replayed(engine, await engine.run(), **option)

    run = engine.run_scenario(scenario)
    assert (run.status, len(asked)) == (status, calls)
    assert [call.repeatable for call in asked] == [repeatable] * calls
    if status == "failed":
        assert run.error["code"] == "step.partly_committed"
        assert "--again load_a" in run.error["message"]


def test_a_file_that_the_config_names_is_part_of_the_input(engine: Engine) -> None:
    engine.pipeline(one(config={"sql": "configs/p/insert.sql"}))
    file = engine.services.configs_dir / "p" / "insert.sql"
    file.parent.mkdir()
    file.write_text("INSERT 1")
    engine.works["load_a"] = Dying(insert)

    async def scenario() -> Any:
        run = await engine.run()
        file.write_text("INSERT 2")
        return await replayed(engine, run)

    error = engine.run_scenario(scenario).error
    assert error["code"] == "step.applied_before"
    assert "a file that it names, has changed" in error["message"]


def test_writes_of_one_execution_are_sent_one_after_the_other(engine: Engine) -> None:
    engine.pipeline(LABELLED)
    real, at_once, most = engine.warehouse.query, 0, 0

    async def watched(statement: Statement) -> QueryResult:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(1)
        at_once -= 1
        return await real(statement)

    engine.warehouse.query = watched  # type: ignore[method-assign]

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await asyncio.gather(*(insert(context) for _ in range(5)))
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    assert engine.run_scenario(engine.run).status == "completed"
    assert (most, len(rows(engine))) == (1, 5)
