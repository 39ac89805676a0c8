"""Who owns a step: what an execution may still do, and how it learns that it may not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from convergence.engine.replay import replay
from convergence.engine.step.lease import Lease
from convergence.engine.views import runs as views
from convergence.errors import LeaseLost, StepFailed, Transient
from convergence.ports.documents import Replace
from convergence.ports.processor import Context
from convergence.ports.warehouse import Effect
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import failing, one
from tests.unit.engine.writes import append, call, insert

LEASE_S = 90.0
Act = Callable[[Context], Awaitable[Any]]


async def create(context: Context) -> Any:
    return await context.warehouse.ensure_table("rows")


async def stage(context: Context) -> Any:
    return await context.warehouse.stage("rows").write(0, [{"n": 1}])


@pytest.fixture
def lapsing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine that cannot renew leases, and a warehouse that notes what reaches it."""

    async def away(self: Lease) -> str | None:
        raise Transient("the store is away")

    monkeypatch.setattr(Lease, "renew_once", away)
    return engine


def watched(engine: Engine) -> list[str]:
    """Note every call that writes to the warehouse."""
    reached: list[str] = []
    for name in ("ensure_table", "load", "query", "call", "close_job"):
        real = getattr(engine.warehouse, name)

        async def noted(*given: Any, _name: str = name, _real: Any = real, **options: Any) -> Any:
            reached.append(_name)
            return await _real(*given, **options)

        setattr(engine.warehouse, name, noted)
    return reached


@pytest.mark.parametrize("act", [create, stage, append, insert, call])
@pytest.mark.parametrize(("lives_s", "refused"), [(LEASE_S - 1, False), (LEASE_S, True)])
def test_an_expired_lease_reaches_no_warehouse(lapsing: Engine, act: Act, lives_s: float, refused: bool) -> None:
    lapsing.pipeline(one(timeout_minutes=30))
    reached = watched(lapsing)
    lost: list[Any] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        if not lost:
            await context.sleep(lives_s)
            try:
                await act(context)
            except LeaseLost as error:
                lost.append((str(error), list(reached)))
                raise
        return {"status": "SUCCESS"}

    lapsing.works["load_a"] = work
    assert lapsing.run_scenario(lapsing.run).status == "completed"
    assert lost == ([("step load_a: the lease ran out; the next owner goes on", [])] if refused else [])


def test_staged_rows_are_not_loaded_once_the_lease_is_gone(lapsing: Engine) -> None:
    lapsing.pipeline(one(timeout_minutes=30))
    reached = watched(lapsing)
    lost: list[Any] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        if not lost:
            staged = context.warehouse.stage("rows")
            await staged.write(0, [{"n": 1}])
            await context.sleep(LEASE_S)
            try:
                await context.warehouse.load(staged, dates=None)
            except LeaseLost:
                lost.append(list(reached))
                raise
        return {"status": "SUCCESS"}

    lapsing.works["load_a"] = work
    lapsing.run_scenario(lapsing.run)
    assert lost == [[]]


def test_a_step_that_loads_for_long_is_shown_as_processing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(one(timeout_minutes=30))
    load, seen = engine.warehouse.load, []

    async def slow(*given: Any, **options: Any) -> Any:
        seen.append(await shown())
        await asyncio.sleep(LEASE_S - 1)  # of the engine's clock: the lease is renewed meanwhile
        seen.append(await shown())
        return await load(*given, **options)

    async def shown() -> str:
        page = await views.history(engine.services, "acme")
        view = await views.status(engine.services, "acme", page["runs"][0]["run_id"])
        return view["steps"][0]["status"]

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        staged = context.warehouse.stage("rows")
        await staged.write(0, [{"n": 1}])
        await context.warehouse.load(staged, dates=None)
        await context.sleep(LEASE_S - 1)
        seen.append(await shown())
        return {"status": "SUCCESS"}

    monkeypatch.setattr(engine.warehouse, "load", slow)
    engine.works["load_a"] = work
    assert engine.run_scenario(engine.run).status == "completed"
    assert seen == ["running", "processing", "running"]


def test_a_lease_that_ends_while_earlier_epochs_are_closed_sends_nothing(
    lapsing: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lapsing.pipeline(one(timeout_minutes=30))
    reached, epochs = watched(lapsing), []
    close = lapsing.warehouse.close_job

    async def slow(job_id: str, **options: Any) -> Effect | None:
        effect = await close(job_id, **options)
        await asyncio.sleep(LEASE_S)
        return effect

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        epochs.append(context["epoch"])
        if len(epochs) == 1:
            raise StepFailed("before it wrote")
        if len(epochs) == 2:
            await insert(context)
        return {"status": "SUCCESS"}

    monkeypatch.setattr(lapsing.warehouse, "close_job", slow)
    lapsing.works["load_a"] = work

    async def scenario() -> Any:
        run = await lapsing.run()
        await replay(lapsing.services, "acme", run.run_id)
        return await lapsing.worker.wait("acme", run.run_id)

    assert lapsing.run_scenario(scenario).status == "completed"
    assert (epochs, reached) == ([0, 1, 1], ["close_job"])


def test_an_expired_lease_closes_no_writes_of_earlier_epochs(lapsing: Engine) -> None:
    lapsing.pipeline(one(timeout_minutes=30))
    reached, epochs = watched(lapsing), []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        epochs.append(context["epoch"])
        if len(epochs) == 1:
            raise StepFailed("before it wrote")
        if len(epochs) == 2:
            await context.sleep(LEASE_S)
            await insert(context)
        return {"status": "SUCCESS"}

    lapsing.works["load_a"] = work

    async def scenario() -> Any:
        run = await lapsing.run()
        await replay(lapsing.services, "acme", run.run_id)
        return await lapsing.worker.wait("acme", run.run_id)

    assert lapsing.run_scenario(scenario).status == "completed"
    assert (epochs, reached) == ([0, 1, 1], [])


END_STEP = """
steps:
  - {step_id: load_a, ps_type: generic.noop}
  - {step_id: tell, ps_type: generic.noop, trigger: on_failure, timeout_minutes: 30}
"""


def test_a_renewal_sees_that_the_run_was_replayed(engine: Engine) -> None:
    """An end step has a record of its own in each epoch: only the run tells that its epoch is over."""
    engine.pipeline(END_STEP)
    engine.works["load_a"] = failing(StepFailed("x"), times=1)
    stopped: list[float] = []

    async def endless(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        try:
            await context.sleep(600)
        finally:
            stopped.append(engine.loop.now_s)
        return {"status": "SUCCESS"}

    engine.works["tell"] = endless

    async def scenario() -> Any:
        run = await engine.start()
        await engine.clock.sleep(10)
        await replay(engine.services, "acme", run.run_id)
        await engine.clock.sleep(60)
        return await engine.data(f"{run.path}/steps/tell~0")

    step = engine.run_scenario(scenario)
    assert stopped == [30.0]
    assert (step["lease_until"], step["transitions"][-1][-1]) == (None, "stopped: the run was replayed")


def test_a_step_that_ends_during_its_renewal_keeps_its_result(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The renewal's commit moves the version: who does not wait for it commits against an old one, and is dropped."""
    engine.pipeline(one(timeout_minutes=30))

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(35)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    real = engine.documents.commit

    async def slow_to_answer(writes: Any) -> list[int]:
        versions = await real(writes)
        if engine.loop.now_s == 30.0:  # the renewal is the only one to write then
            await asyncio.sleep(10)
        return versions

    monkeypatch.setattr(engine.documents, "commit", slow_to_answer)

    async def scenario() -> Any:
        run = await engine.start()
        await engine.clock.sleep(50)
        return await engine.data(run.path), await engine.data(f"{run.path}/steps/load_a")

    run, step = engine.run_scenario(scenario)
    assert (run["status"], step["status"], engine.started) == ("completed", "completed", ["load_a"])


def test_an_owner_that_was_followed_by_another_stops(engine: Engine) -> None:
    engine.pipeline(one(timeout_minutes=30))

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(1000)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work

    async def scenario() -> str | None:
        run = await engine.start()
        await engine.clock.sleep(1)
        lease = engine.services.cache.leases[run.run_id, "load_a"]
        assert isinstance(lease, Lease)
        path = f"{run.path}/steps/load_a"
        stored = await engine.documents.get(path)
        assert stored is not None
        taken = stored.data | {"token": "t_other", "lease_owner": "other"}
        await engine.documents.commit([Replace(path, stored.version, taken)])
        await engine.clock.sleep(40)
        return lease.stopped

    assert engine.run_scenario(scenario) == "another owner took over"


def test_a_lease_is_as_long_as_the_settings_say(engine: Engine) -> None:
    engine.pipeline(one())
    until: list[Any] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        lease = engine.services.cache.leases[context.run_id, "load_a"]
        assert isinstance(lease, Lease)
        until.append(lease.held.step.lease_until)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    run = engine.run_scenario(engine.run)
    assert until == [run.created_at + timedelta(seconds=LEASE_S)]
