"""How a run waits in its org's queue, and the queue's document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from convergence.domain.queue import OrgQueue, QueuePlace, pause_of, queue_path, rank_of
from convergence.domain.records import changed
from convergence.domain.run import NO_PLAN, Run
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.domain.transitions import appended
from convergence.engine.queue.reservation import caps_of, free_places, pool_of
from convergence.engine.services import Services
from convergence.engine.store import budget_path, read_usage
from convergence.errors import Conflict, QuotaExceeded
from convergence.ports.documents import Create, Patch

LOOK_AGAIN_S: Final = 60


def queued(services: Services, run: Run, priority: Priority, reason: str, *, held_after: str = "", token: str) -> Run:
    """Return a run, not stored yet, as it waits in its org's queue: without plan and reservation."""
    now = services.clock.now()
    rank = "" if held_after else rank_of(priority, run.dated, run.run_id)
    pool = pool_of(services, run.provider, run.credential_id, run.pipeline)
    gives_up = now + timedelta(seconds=services.settings.queue_timeout_s)
    return changed(
        run,
        status=RunStatus.QUEUED,
        plan_epoch=NO_PLAN,
        started_at=None,
        deadline_at=gives_up,
        check_at=now + timedelta(seconds=LOOK_AGAIN_S) if held_after else gives_up,
        queue=QueuePlace(org=run.org, pool=pool, priority=priority, rank=rank, held_after=held_after),
        transitions=appended((), now, RunStatus.QUEUED, reason),
        moves=1,
        token=token,
    )


async def reason_to_wait(services: Services, run: Run) -> str:
    """Return what a queued run waits for: a paused pipeline, another run's end, its org's limit, a cap, or its turn."""
    if run.queue is not None and run.queue.held_after == pause_of(run.org, run.pipeline):
        return paused_text(run.pipeline, (await services.orgs.get(run.org)).paused_pipelines.get(run.pipeline, ""))
    if run.queue is not None and run.queue.held_after:
        return f"the end of run {run.queue.held_after}"
    document = await services.documents.get(queue_path(run.org))
    queue = None if document is None else OrgQueue.from_data(document.data)
    if queue is not None and not queue.ready and queue.reason:
        return queue.reason
    free = await free_places(services, caps_of(services, run.provider, run.credential_id))
    full = [name for name, places in free.items() if not places]
    return f"a free place in {', '.join(full)}" if full else "its turn in the queue"


async def held_back(services: Services, run: Run) -> bool:
    """Tell whether a queued run waits for the end of a pause, or of its org's day or month: no run's end lets it in."""
    org = await services.orgs.get(run.org)
    if run.pipeline in org.paused_pipelines:
        return True
    usage, _ = await read_usage(services, budget_path(run))
    now = services.clock.now()
    try:
        replace(usage, active={}).reserve(run.run_id, org.limits, now=now, until=now, counted=True, token="")
    except QuotaExceeded:
        return True
    return False


def paused_text(pipeline: str, reason: str) -> str:
    """Return how a paused pipeline is spoken of."""
    return f"the paused pipeline {pipeline}" + (f": {reason}" if reason else "")


def ready_write(org: str, pools: Sequence[str]) -> Patch:
    """Return the write that marks pools of an org as waiting; it fences every admission that read the queue before.

    A ready org no longer waits for what it waited for before: it has its turn.
    """
    return Patch(
        queue_path(org),
        {("waiting_pools", pool): True for pool in pools} | {("ready",): True},
        unset=[("next_check_at",), ("blocked_on",)],
    )


async def ensure_queue(services: Services, org: str) -> None:
    """Create an org's queue if there is none. None is ever removed."""
    await ensure_queues(services, [org])


async def ensure_queues(services: Services, orgs: Iterable[str]) -> None:
    """Create the queues of orgs that have none: two calls for all of them."""
    unknown = sorted({*orgs} - services.cache.queues)
    if not unknown:
        return
    documents = await services.documents.get_many([queue_path(org) for org in unknown])
    missing = [org for org, document in zip(unknown, documents, strict=True) if document is None]
    try:
        if missing:
            await services.documents.commit([_new_queue(org) for org in missing])
    except Conflict:  # another caller created one of them
        for org in missing:
            with suppress(Conflict):
                await services.documents.commit([_new_queue(org)])
    services.cache.queues.update(unknown)


def _new_queue(org: str) -> Create:
    return Create(queue_path(org), OrgQueue(org=org).to_data())
