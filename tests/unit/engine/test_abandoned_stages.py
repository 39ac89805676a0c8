"""Staged rows of executions that died go after two days; what an unfinished step may load stays, however old."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.domain.times import to_text
from convergence.engine.retention.stages import remove_stages
from convergence.engine.step.effects import job_id_of
from convergence.ports.documents import Patch
from convergence.ports.warehouse import Column, StagedRows, TableSchema
from convergence.worker import LocalWorker
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO

TABLE = TableSchema("my__table", (Column("n", "INT64"),))


@pytest.fixture
def staging(engine: Engine, tmp_path: Path) -> Iterator[DuckDbWarehouse]:
    """Return the warehouse of an engine that rests."""
    warehouse = DuckDbWarehouse(tmp_path / "warehouse.duckdb", clock=engine.clock)
    engine.services = replace(engine.services, warehouse=warehouse)
    engine.bus.detach()
    engine.worker = LocalWorker(engine.services, engine.bus)
    engine.pipeline(TWO)
    yield warehouse
    warehouse.close()


async def stage(engine: Engine, warehouse: DuckDbWarehouse, name: str, *, days: float) -> Path:
    """Stage a row, written so many days ago."""
    await warehouse.stage("acme_dev", TABLE, name).write(0, [{"n": 1}])
    (folder,) = warehouse.session.staging.glob(f"*/*__{name}")
    at = (engine.clock.now() - timedelta(days=days)).timestamp()
    for each in (*folder.iterdir(), folder):
        os.utime(each, (at, at))
    return folder


def test_what_died_goes_after_two_days_and_not_before(engine: Engine, staging: DuckDbWarehouse) -> None:
    async def scenario() -> None:
        old = await stage(engine, staging, "stage_a_1", days=2.1)
        young = await stage(engine, staging, "stage_b_1", days=1.9)
        (young / "new").touch()
        touched = await stage(engine, staging, "stage_c_1", days=9)
        at = engine.clock.now().timestamp()
        os.utime(next(touched.iterdir()), (at, at))  # a part was written again
        now = engine.clock.now() - timedelta(days=2)
        assert staging.stages_before(now) == [StagedRows("acme_dev", "my__table", "stage_a_1")]
        assert await remove_stages(engine.services) == 1
        assert [each.exists() for each in (old, young, touched)] == [False, True, True]
        assert await remove_stages(engine.services) == 0

    engine.run_scenario(scenario)


def test_what_an_unfinished_step_staged_stays_until_it_is_done(engine: Engine, staging: DuckDbWarehouse) -> None:
    async def scenario() -> None:
        run = await engine.run()
        job = job_id_of(run.run_id, "load_b", "stage", 0, TABLE.name)
        slices = [await stage(engine, staging, f"{job}_{execution}", days=30) for execution in (1, 4)]
        before = await stage(engine, staging, f"{job_id_of(run.run_id, 'load_b', 'stage', 1, 'x')}_1", days=30)
        step = f"{run.path}/steps/load_b"
        later = to_text(engine.clock.now() + timedelta(days=1))
        resting = [Patch(step, {("status",): "retrying"}), Patch(run.path, {("check_at",): later})]
        await engine.documents.commit(resting)
        assert await remove_stages(engine.services) == 1
        assert [each.exists() for each in (*slices, before)] == [True, True, False]
        await engine.documents.commit([Patch(step, {("status",): "completed"})])
        assert await remove_stages(engine.services) == 2

    engine.run_scenario(scenario)
