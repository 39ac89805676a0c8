"""How long the second wall of the embedded warehouse remembers that a statement may run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse import fence as fence_module
from convergence.adapters.local.warehouse import plan
from convergence.adapters.local.warehouse.fence import Fence, run_inside
from convergence.adapters.local.warehouse.job import Job
from convergence.errors import Denied
from tests.unit.adapters.fence_world import ACME, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.warehouse.close()


READ = "SELECT a FROM acme_dev.own"


def plans(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each statement is added whose plan the wall reads."""
    read: list[str] = []

    def scans_of(job: Job, sql: str, values: Mapping[str, Any]) -> list[Any]:
        read.append(sql)
        return plan.scans_of(job, sql, values)

    monkeypatch.setattr(fence_module, "scans_of", scans_of)
    return read


def test_a_statement_is_checked_once_while_the_catalogue_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read = plans(world, monkeypatch)
    for _ in range(3):
        assert world.inside(READ) == [(1,)]
        assert world.inside("INSERT INTO acme_dev.usage SELECT 1, 'x' WHERE false") == [(0,)]
    assert len(read) == 2
    world.inside(READ, Fence("acme_dev", ("globex_dev",)))
    assert len(read) == 3
    with pytest.raises(Denied):
        world.inside(READ, Fence("globex_dev", writable=True))


@pytest.mark.parametrize(
    ("sql", "definitions"),
    [
        (READ, ["CREATE OR REPLACE VIEW acme_dev.own AS SELECT * FROM globex_dev.secret"]),
        (READ, ["DROP VIEW acme_dev.own", "CREATE VIEW acme_dev.own AS SELECT * FROM globex_dev.secret"]),
        (READ, ["DROP VIEW acme_dev.own", "ALTER VIEW acme_dev.stolen RENAME TO own"]),
        (
            "SELECT a FROM acme_dev.usage",
            ["DROP VIEW acme_dev.own", "DROP TABLE acme_dev.usage", "ALTER VIEW acme_dev.stolen RENAME TO usage"],
        ),
        (
            "SELECT acme_dev.twice(1)",
            ["CREATE OR REPLACE MACRO acme_dev.twice(x) AS (SELECT max(a) FROM globex_dev.secret)"],
        ),
        (
            "INSERT INTO acme_dev.usage SELECT a, b FROM acme_dev.own LIMIT 1",
            ["CREATE OR REPLACE VIEW acme_dev.own AS SELECT * FROM globex_dev.secret"],
        ),
    ],
)
def test_what_is_defined_again_is_checked_again(world: World, sql: str, definitions: list[str]) -> None:
    world.do(lambda job: job.execute("CREATE MACRO acme_dev.twice(x) AS (SELECT max(a) FROM acme_dev.usage)"))
    for _ in range(2):
        assert world.inside(sql) == [(1,)]
    for definition in definitions:
        world.execute(definition)
    for _ in range(2):
        with pytest.raises(Denied):
            world.inside(sql)


def test_a_job_checks_again_what_it_has_defined_itself(world: World) -> None:
    def work(job: Job, definition: str) -> None:
        with job.transaction():
            run_inside(job, ACME, READ, {})
            job.execute(definition)
            run_inside(job, ACME, READ.replace("acme_dev.own", "usage") if "TEMP" in definition else READ, {})

    world.inside(READ)
    for definition in (
        "CREATE OR REPLACE VIEW acme_dev.own AS SELECT * FROM globex_dev.secret",
        "CREATE TEMP VIEW usage AS SELECT * FROM globex_dev.secret",
    ):
        with pytest.raises(Denied):
            world.do(partial(work, definition=definition))
    assert world.inside(READ) == [(1,)]  # both are rolled back


def test_a_verdict_is_of_the_catalogue_that_the_transaction_sees(world: World) -> None:
    """An older transaction neither uses a verdict on a later catalogue nor leaves one on its own."""
    older, definer = threading.Event(), threading.Event()

    def read(job: Job) -> list[tuple[Any, ...]]:
        with job.transaction(read_only=True):
            older.set()
            assert definer.wait(60)
            found: list[tuple[Any, ...]] = run_inside(job, ACME, READ, {}).fetchall()
            return found

    def define(job: Job) -> None:
        assert older.wait(60)
        job.execute("CREATE OR REPLACE VIEW acme_dev.own AS SELECT * FROM globex_dev.secret")
        definer.set()

    async def both() -> tuple[list[tuple[Any, ...]], None]:
        session = world.warehouse.session
        return await asyncio.gather(session.read(read), session.write(define))

    world.inside("SELECT 1")
    assert asyncio.run(both())[0] == [(1,)]
    with pytest.raises(Denied):
        world.inside(READ)


def test_what_hangs_on_a_value_is_checked_each_time(world: World) -> None:
    def work(job: Job, dataset: str) -> Any:
        with job.transaction():
            sql = "SELECT count(*) FROM googlesql.tables('p', $dataset)"
            return run_inside(job, ACME, sql, {"dataset": dataset}).fetchone()

    for _ in range(2):
        with contextlib.suppress(Denied):
            assert world.do(lambda job: work(job, "acme_dev")) == (3,)
        with pytest.raises(Denied):
            world.do(lambda job: work(job, "globex_dev"))
