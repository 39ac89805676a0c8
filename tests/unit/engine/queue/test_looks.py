"""What a pass looks at: it reads no more than the free places are worth, and every org keeps its turn."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convergence.domain.queue import OrgQueue
from convergence.domain.records import changed
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.messages import QueueChanged
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.handler import on_queue_changed
from convergence.engine.queue.wake import wake_due
from convergence.ports.bus import QUEUE_CHANGED, Ack, Delivery, Message
from convergence.ports.documents import Patch, Replace, Where
from convergence.tenants.orgs import Org
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.queueing import capped_engine, end, held, queue_run, status

PLACES = 3
ORGS = 30
DUE_PAGE = 100  # queues that a look at those that are due finds at once


@pytest.fixture
def capped(tmp_path: Path) -> Engine:
    return capped_engine(tmp_path, PLACES)


async def crowd(engine: Engine, *, concurrent: int = 5, count: int = ORGS) -> list[str]:
    """Queue two runs of each of many orgs."""
    orgs = [f"org{number:02}" for number in range(count)]
    for org in orgs:
        await engine.org(org, concurrent=concurrent)
        for _ in range(2):
            await queue_run(engine, org)
    return orgs


async def place(engine: Engine, orgs: list[str], apart: float) -> None:
    """Let these orgs have their turn one after the other."""
    for number, org in enumerate(orgs):
        document = await engine.documents.get(f"org_queues/{org}")
        assert document is not None
        placed = changed(OrgQueue.from_data(document.data), virtual_start=number * apart)
        await engine.documents.commit([Replace(placed.path, document.version, placed.to_data())])


def count_queues(engine: Engine, most: int = 100) -> list[int]:
    """Return a list that gets how many queues of orgs each look at them found; more than `most` looks are refused."""
    looks: list[int] = []
    query = engine.documents.query

    async def counted(collection: str, **asked: Any) -> Any:
        page = await query(collection, **asked)
        if collection == "org_queues":
            looks.append(len(page.documents))
            assert len(looks) <= most, "it looks again and again"
        return page

    engine.documents.query = counted  # type: ignore[method-assign]  # of this one engine
    return looks


def test_a_full_cap_is_seen_before_a_second_queue_is_read(capped: Engine) -> None:
    async def scenario() -> None:
        await crowd(capped)
        assert (await admission_pass(capped.services)).runs == PLACES
        looks = count_queues(capped)
        assert (await admission_pass(capped.services)).runs == 0
        assert looks == [1]

    capped.run_scenario(scenario)


def test_one_free_place_is_worth_a_look_at_few_of_many_queues(capped: Engine) -> None:
    async def scenario() -> None:
        await crowd(capped)
        await admission_pass(capped.services)
        await end(capped, (await held(capped, "global"))[0])
        looks = count_queues(capped)
        assert (await admission_pass(capped.services)).runs == 1
        [any_org, found] = looks
        assert any_org == 1
        assert found < 10

    capped.run_scenario(scenario)


def count_caps(engine: Engine) -> list[int]:
    """Return a list that gets how many shards of the installation's cap each read of it finds."""
    reads: list[int] = []
    get_many = engine.documents.get_many

    async def counted(paths: Any) -> Any:
        if (shards := sum(path.startswith("caps/global.") for path in paths)) > 0:
            reads.append(shards)
        return await get_many(paths)

    engine.documents.get_many = counted  # type: ignore[method-assign]  # of this one engine
    return reads


def test_a_pass_reads_the_cap_once_and_once_for_each_admission(capped: Engine) -> None:
    """The admission tells how many places are left; an org at its own limit leaves them as they are."""

    async def scenario() -> None:
        orgs = await crowd(capped, concurrent=0)
        await capped.org("last")
        await queue_run(capped, "last")
        await place(capped, [*orgs, "last"], 1.0)
        reads = count_caps(capped)
        assert (await admission_pass(capped.services)).runs == 1
        assert len(reads) == 2

    capped.run_scenario(scenario)


def test_a_pass_without_a_queued_run_reads_no_cap(capped: Engine) -> None:
    async def scenario() -> None:
        reads = count_caps(capped)
        assert (await admission_pass(capped.services)).runs == 0
        assert reads == []

    capped.run_scenario(scenario)


def test_an_org_behind_many_that_wait_for_other_limits_gets_the_free_place(capped: Engine) -> None:
    async def scenario() -> None:
        orgs = await crowd(capped, concurrent=0)
        await capped.org("last")
        run = await queue_run(capped, "last")
        await place(capped, [*orgs, "last"], 1.0)
        assert (await admission_pass(capped.services)).runs == 1
        assert await status(capped, run) is RunStatus.RUNNING

    capped.run_scenario(scenario)


def test_an_org_that_the_first_look_did_not_find_comes_before_the_second_run_of_one_that_it_did(capped: Engine) -> None:
    async def scenario() -> None:
        orgs = await crowd(capped)
        for org in orgs[:6]:
            await capped.services.orgs.change(org, _closed, token="closed")
        await place(capped, orgs, 0.001)  # a run moves its org by 0.1 at least
        assert (await admission_pass(capped.services)).runs == PLACES
        assert [len(await _active(capped, org)) for org in orgs[6:10]] == [1, 1, 1, 0]

    capped.run_scenario(scenario)


def test_hints_that_come_during_a_pass_share_the_next_one(capped: Engine) -> None:
    async def scenario() -> None:
        await crowd(capped)
        await admission_pass(capped.services)
        ended = await held(capped, "global")
        for run_id in ended:
            await end(capped, run_id)
        passes = 0
        get = capped.documents.get

        async def counted(path: str) -> Any:
            nonlocal passes
            passes += path == "admission/clock"
            return await get(path)

        capped.documents.get = counted  # type: ignore[method-assign]  # of this one engine
        hints = [Message(QueueChanged("org00", run_id).encode()) for run_id in ended * 5]
        answers = await asyncio.gather(
            *(on_queue_changed(capped.services, Delivery(hint, "m", 1, QUEUE_CHANGED)) for hint in hints)
        )
        assert set(answers) == {Ack()}
        assert passes < len(hints) / 2
        assert len(await held(capped, "global")) == PLACES

    capped.run_scenario(scenario)


def test_a_look_at_orgs_that_are_due_ends_when_they_are_ready_already_and_the_installation_is_full(
    capped: Engine,
) -> None:
    async def scenario() -> None:
        orgs = await crowd(capped, concurrent=0, count=2 * DUE_PAGE)
        while await ready_queues(capped):  # each is at its limit, and is looked at again in a minute
            await admission_pass(capped.services)
        await capped.org("busy")
        for _ in range(PLACES):
            await queue_run(capped, "busy")
        await admission_pass(capped.services)
        assert len(await held(capped, "global")) == PLACES
        for org in orgs:
            await queue_run(capped, org)  # makes it ready, and no pass looks at it while the installation is full
        await capped.clock.sleep(61)
        looks = count_queues(capped, most=10)
        await wake_due(capped.services)
        assert await due_queues(capped) == 0, f"the next tick would find them again, after {looks}"

    capped.run_scenario(scenario)


def test_a_look_at_orgs_that_are_due_takes_the_time_from_one_that_is_ready(capped: Engine) -> None:
    """As releases stored it that left the time of the next look where it was."""

    async def scenario() -> None:
        orgs = await crowd(capped, count=2 * DUE_PAGE)
        now = to_text(capped.clock.now())
        await capped.documents.commit([Patch(f"org_queues/{org}", {("next_check_at",): now}) for org in orgs])
        looks = count_queues(capped, most=10)
        await wake_due(capped.services)
        assert await due_queues(capped) == 0, f"the next tick would find them again, after {looks}"

    capped.run_scenario(scenario)


def test_an_org_whose_queue_cannot_be_read_holds_up_no_other(capped: Engine) -> None:
    async def scenario() -> None:
        (first, second, *_) = await crowd(capped, concurrent=0)
        await admission_pass(capped.services)
        await capped.documents.commit([Patch(f"org_queues/{first}", {("blocked_on",): 7})])
        await capped.services.orgs.change(second, _open, token="open")
        await capped.clock.sleep(61)
        await wake_due(capped.services)
        assert (await admission_pass(capped.services)).runs == 2

    capped.run_scenario(scenario)


async def ready_queues(engine: Engine) -> int:
    return await engine.documents.count("org_queues", where=[Where("ready", "==", True)])


async def due_queues(engine: Engine) -> int:
    now = to_text(engine.clock.now())
    return await engine.documents.count("org_queues", where=[Where("next_check_at", "<=", now)])


async def _active(engine: Engine, org: str) -> list[str]:
    usage = await engine.documents.get(f"orgs/{org}/usage/current")
    return [] if usage is None else list(usage.data["active"])


def _open(org: Org) -> Org:
    return replace(org, limits=replace(org.limits, concurrent=5))


def _closed(org: Org) -> Org:
    return replace(org, limits=replace(org.limits, concurrent=0))
