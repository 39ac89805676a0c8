"""What waits in a queue: how much is counted, why, and what the end of a run or a failed head lets start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convergence.config.files.models import ProviderLine, Providers
from convergence.domain.queue import OrgQueue
from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.engine.finish_run import finish_run
from convergence.engine.messages import QueueChanged
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import count_waiting, enqueue
from convergence.engine.queue.handler import on_queue_changed
from convergence.engine.store import read_run
from convergence.ports.bus import QUEUE_CHANGED, Ack, Delivery, Message
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.queueing import queue_run, status
from tests.unit.engine.works import one

LIMITED = "rate_limit_per_minute: 1\n"


@pytest.fixture
def still(engine: Engine) -> Engine:
    """Return the engine with a pipeline; no message is delivered."""
    engine.pipeline(one())
    engine.bus.detach()
    return engine


async def queue_other(engine: Engine) -> Run:
    """Queue a run of q/d/n."""
    prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="q/d/n"))
    return await enqueue(engine.services, prepared.run, Priority.SCHEDULED)


def test_the_runs_of_all_pools_of_an_org_are_counted(still: Engine) -> None:
    still.pipeline(LIMITED + one(), "q/d/n")  # a pipeline with a limit of its own has a pool of its own

    async def scenario() -> None:
        for _ in range(2):
            await queue_run(still)
        await queue_other(still)
        queue = OrgQueue.from_data(await still.data("org_queues/acme"))
        assert len(queue.waiting_pools) == 2
        assert await count_waiting(still.services, queue) == 3

    still.run_scenario(scenario)


def test_a_queue_that_waits_for_a_pipelines_limit_alone_names_nothing_else(still: Engine) -> None:
    still.pipeline(LIMITED + one())

    async def scenario() -> None:
        for _ in range(2):
            await queue_run(still)
        assert (await admission_pass(still.services)).runs == 1
        assert (await still.data("org_queues/acme"))["reason"].startswith("p/d/n may run at most ")

    still.run_scenario(scenario)


def test_a_run_that_can_no_longer_start_holds_up_no_other_of_its_org(still: Engine) -> None:
    still.pipeline("parameters: [{name: region, type: string, default: x}]\n" + one())

    async def scenario() -> None:
        wrong, good = await queue_run(still, parameters={"region": "eu"}), await queue_run(still)
        still.pipeline("parameters: [{name: region, type: string, enum: [x], default: x}]\n" + one())
        assert (await admission_pass(still.services)).runs == 1
        assert [await status(still, run) for run in (wrong, good)] == [RunStatus.FAILED, RunStatus.RUNNING]

    still.run_scenario(scenario)


def test_the_end_of_a_run_starts_that_of_another_org_which_waits_for_its_place(still: Engine) -> None:
    registry = Providers(providers={"p": ProviderLine(type="llm", max_concurrent_runs=1)})
    still.services = replace(still.services, providers=lambda: registry)

    async def scenario() -> None:
        await still.org("globex")
        first = await queue_run(still)
        await admission_pass(still.services)
        waiting = await queue_run(still, "globex")
        assert (await admission_pass(still.services)).runs == 0
        stored = await read_run(still.services, first.run_id)
        assert stored is not None
        await finish_run(still.services, stored)
        hint = Delivery(Message(QueueChanged("acme", first.run_id).encode()), "m1", 1, QUEUE_CHANGED)
        assert await on_queue_changed(still.services, hint) == Ack()
        assert await status(still, waiting) is RunStatus.RUNNING

    still.run_scenario(scenario)
