"""What the machine does to a step is not the step's failure: a full disk, a stop of the process."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from convergence.adapters.local.bus import LocalBus
from convergence.engine.services import EngineSettings, ProcessCache
from convergence.engine.step.lease import Lease
from convergence.errors import ConvergenceError, StorageFault
from convergence.ports.documents import Write
from convergence.ports.processor import Context
from convergence.worker import LocalWorker
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import failing, one

FULL_S = 600.0  # longer than six leases
FULL = [
    pytest.param(StorageFault("the warehouse cannot be written: No space left on device"), id="warehouse"),
    pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="file"),
    pytest.param(OSError(errno.EMFILE, "Too many open files"), id="descriptors"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_step_that_meets_a_full_disk_pays_with_no_attempt(engine: Engine, error: Exception) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(error, times=20)

    async def scenario() -> Any:
        run = await engine.run()
        return run, await engine.data(f"{run.path}/steps/load_a")

    run, step = engine.run_scenario(scenario)
    assert (run.status, step["status"], step["failures"], step["crashes"]) == ("completed", "completed", 0, 0)
    assert len(engine.started) == 21


def test_a_disk_that_stays_full_ends_with_the_runs_deadline(engine: Engine) -> None:
    engine.pipeline("timeout_minutes: 5\n" + one())
    engine.works["load_a"] = failing(StorageFault("No space left on device"), times=10_000)
    run = engine.run_scenario(engine.run)
    assert (run.status, run.error["code"]) == ("failed", "run.timeout")


def test_a_step_that_is_done_while_its_outcome_cannot_be_stored_is_not_done_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pipeline(one())
    commit, full_until = engine.documents.commit, float("inf")

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        nonlocal full_until
        full_until = engine.loop.now_s + FULL_S
        return {"status": "SUCCESS", "rows_processed": 5}

    async def full(writes: Sequence[Write]) -> list[int]:
        if engine.started and engine.loop.now_s < full_until:
            raise StorageFault("state could not be written: database or disk is full")
        return await commit(writes)

    engine.works["load_a"] = work
    monkeypatch.setattr(engine.documents, "commit", full)

    async def scenario() -> Any:
        run = await engine.run()
        return run, await engine.data(f"{run.path}/steps/load_a")

    run, step = engine.run_scenario(scenario)
    assert (run.status, step["crashes"], step["failures"]) == ("completed", 0, 0)
    assert engine.started == ["load_a"]


def test_a_step_that_cannot_renew_its_lease_for_a_while_is_not_counted_as_dead(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pipeline(one())
    renew = Lease.renew_once

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(FULL_S * 2 / 3)
        return {"status": "SUCCESS"}

    async def full(lease: Lease) -> str | None:
        if engine.loop.now_s < FULL_S / 2:
            raise StorageFault("state could not be written: database or disk is full")
        return await renew(lease)

    engine.works["load_a"] = work
    monkeypatch.setattr(Lease, "renew_once", full)

    async def scenario() -> Any:
        run = await engine.run()
        return run, await engine.data(f"{run.path}/steps/load_a")

    run, step = engine.run_scenario(scenario)
    assert (run.status, step["crashes"]) == ("completed", 0)
    assert engine.started == ["load_a"]


def test_a_process_that_is_stopped_releases_its_steps_and_no_crash_is_counted(engine: Engine) -> None:
    engine.pipeline(one())
    begun, never = asyncio.Event(), asyncio.Event()

    async def endless(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        begun.set()
        await never.wait()
        raise AssertionError

    engine.works["load_a"] = endless
    embedded = EngineSettings(sole_process=True)

    async def scenario() -> tuple[Any, Any, Any]:
        engine.bus.detach()
        services = replace(engine.services, settings=embedded)
        first = LocalWorker(services, engine.bus)
        await first.start()
        run = await engine.start()
        await begun.wait()
        await first.close()
        stopped = await engine.data(f"{run.path}/steps/load_a")
        engine.works.clear()
        bus = LocalBus()
        second = LocalWorker(replace(services, bus=bus, owner="boot2", cache=ProcessCache()), bus)
        await second.start()
        ended = await second.wait("acme", run.run_id)
        after = await engine.data(f"{run.path}/steps/load_a")
        await second.close()
        return stopped, ended, after

    stopped, ended, after = engine.run_scenario(scenario)
    assert (stopped["status"], stopped["lease_owner"], stopped["lease_until"]) == ("retrying", "", None)
    assert stopped["transitions"][-1][2] == "its process was stopped"
    assert (ended.status, after["status"], after["crashes"], after["failures"]) == ("completed", "completed", 0, 0)


def test_faults_of_storage_keep_the_code_that_callers_know() -> None:
    assert issubclass(StorageFault, ConvergenceError)
    assert (StorageFault.code, StorageFault.http_status, StorageFault.retryable) == ("transient", 503, True)
