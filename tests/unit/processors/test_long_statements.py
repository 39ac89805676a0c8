"""Statements that outlast a step's patience: the step answers CONTINUE and comes back to the same job."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.domain.run import Run
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.store import read_all_steps
from convergence.errors import StillRunning
from convergence.ports.warehouse import QueryResult, Scope, Statement
from tests.bench import engine

SUM = """
  - step_id: transform_sums
    ps_type: {ps_type}
    config: {{query: "SELECT 7 AS id"}}
    destination: {{table: acme_sums_daily_raw}}
"""
CHANGE = """
  - step_id: run_change
    ps_type: generic.bq_execute
    config: {query: "INSERT INTO acme_sums_daily_raw (id, x_pipeline_run_date) VALUES (7, DATE '2026-11-20')"}
"""
HEAD = """
pipeline_id: "{org_slug}-acme-usage-sums"
steps:
"""


class Slowly:
    """The embedded warehouse, but a job's statement is done only when it is asked for the fourth time."""

    def __init__(self, installation: Embedded) -> None:
        self._query = installation.warehouse.query
        self.asked: Counter[str] = Counter()

    async def query(self, statement: Statement) -> QueryResult:
        if statement.wait_s is not None:
            assert statement.job_id is not None
            self.asked[statement.job_id] += 1
            if self.asked[statement.job_id] < 4:
                raise StillRunning(f"job {statement.job_id} is running")
        return await self._query(statement)


async def lived(folder: Path, steps: str) -> tuple[Run, Slowly, list[dict[str, Any]], list[str]]:
    root = engine.configs(folder)
    place = root / "acme" / "usage"
    (place / "schemas").mkdir(parents=True)
    (place / "schemas" / "acme_sums_daily_raw.json").write_text(json.dumps([{"name": "id", "type": "INT64"}]))
    (place / "sums.yml").write_text(HEAD + steps)
    async with embedded(EmbeddedOptions(data_dir=folder / "data", configs_dir=root), "test") as installation:
        await engine.found(installation)
        services = installation.services
        await services.warehouse.ensure_table("org0_dev", services.schemas.get("acme_sums_daily_raw"))
        slowly = Slowly(installation)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(installation.warehouse, "query", slowly.query)
            await installation.worker.start()
            run = await dispatch(services, RunRequest(org="org0", pipeline="acme/usage/sums"))
            ended = await installation.worker.wait("org0", run.run_id)
        found = await services.warehouse.query(
            Statement("SELECT id FROM acme_sums_daily_raw", scope=Scope(dataset="org0_dev"))
        )
        (stored,) = (await read_all_steps(services, ended)).values()
        return ended, slowly, found.rows, [str(move) for move in stored.step.transitions]


@pytest.mark.parametrize("ps_type", ["generic.bq_execute", "generic.local_bq_transformer"])
def test_a_long_query_is_polled_under_one_job_id_and_loaded_once(tmp_path: Path, ps_type: str) -> None:
    run, slowly, rows, moves = asyncio.run(lived(tmp_path, SUM.format(ps_type=ps_type)))
    assert run.status == "completed", run.error
    assert list(slowly.asked.values()) == [4]
    assert rows == [{"id": 7}]
    assert sum("to be continued" in move for move in moves) == 3


def test_a_long_change_happens_once(tmp_path: Path) -> None:
    run, slowly, rows, _ = asyncio.run(lived(tmp_path, CHANGE))
    assert run.status == "completed", run.error
    assert list(slowly.asked.values()) == [4]
    assert rows == [{"id": 7}]
