"""Put runs into their org's queue, take held ones up, and end those that waited too long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from convergence.domain.events import run_event
from convergence.domain.queue import OrgQueue, queue_path, rank_of
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.engine.finish_run import error_data, fail_run
from convergence.engine.messages import publish_events, publish_queue_changed
from convergence.engine.queue.waiting import LOOK_AGAIN_S, ensure_queue, queued, ready_write
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, dead_letter_write, read_run, write_run
from convergence.errors import Conflict, QuotaExceeded
from convergence.ports.documents import Where

_RUN_STEP = "_run"
WAITING_MAX: Final = 1_000  # runs of an org that callers put into its queue; many at once may exceed it by a few


async def enqueue(services: Services, run: Run, priority: Priority = Priority.INTERACTIVE) -> Run:
    """Store a checked run as a queued one, and hint at it; one commit. Return it.

    Raises:
        QuotaExceeded: as many runs of the org wait as may.
    """
    waiting = queued(services, run, priority, f"queued ({run.trigger})", token=run.token)
    assert waiting.queue is not None, "queued() gives it a place"
    await ensure_queue(services, run.org)
    queue = await services.documents.get(queue_path(run.org))
    if queue is not None and await count_waiting(services, OrgQueue.from_data(queue.data)) >= WAITING_MAX:
        raise QuotaExceeded(
            f"{run.org} has {WAITING_MAX} runs in its queue: wait until some have started, or cancel some"
        )
    stored = await write_run(services, waiting, 0, ready_write(run.org, [waiting.queue.pool]))
    await publish_events(services.bus, [run_event(stored.run)])
    await publish_queue_changed(services.bus, run.org)
    return stored.run


async def count_waiting(services: Services, queue: OrgQueue) -> int:
    """Count the runs that wait in an org's queue, without those that are held for the end of another run."""
    waiting = 0
    for pool in queue.waiting_pools:
        where = [Where("queue.org", "==", queue.org), Where("queue.pool", "==", pool), Where("queue.rank", ">", "")]
        waiting += await services.documents.count("runs", where=where)
    return waiting


async def release_held(services: Services, run_id: str) -> int:
    """Give the runs that waited for the end of `run_id` their rank; return how many there were."""
    page = await services.documents.query("runs", where=[Where("queue.held_after", "==", run_id)], limit=10)
    for document in page.documents:
        stored = await read_run(services, document.path.rpartition("/")[2])
        if stored is not None:
            await _release(services, stored)
    return len(page.documents)


async def check_queued(services: Services, stored: StoredRun) -> None:
    """Reconcile a queued run: take it up when what it was held for is over; fail it when it waited too long."""
    run, now = stored.run, services.clock.now()
    assert run.queue is not None, "only queued runs are checked here"
    if now >= run.deadline_at:
        await _give_up(services, stored)
        return
    if run.queue.held_after:
        before = await read_run(services, run.queue.held_after)
        if before is None or before.run.terminal:
            await _release(services, stored)
            return
    token = services.ids.new("t")
    soon = now + timedelta(seconds=LOOK_AGAIN_S) if run.queue.held_after else run.deadline_at
    try:
        await write_run(services, changed(run, check_at=soon, token=token), stored.version)
    except Conflict:
        return  # the other writer decides


async def _release(services: Services, stored: StoredRun) -> None:
    run, place = stored.run, stored.run.queue
    if place is None or not place.held_after:
        return
    token = services.ids.new("t")
    ranked = changed(place, held_after="", rank=rank_of(place.priority, run.dated, run.run_id))
    freed = changed(run, queue=ranked, check_at=run.deadline_at, token=token)
    await ensure_queue(services, run.org)
    try:
        await write_run(services, freed, stored.version, ready_write(run.org, [place.pool]))
    except Conflict:
        return
    await publish_queue_changed(services.bus, run.org)


async def _give_up(services: Services, stored: StoredRun) -> None:
    run, now = stored.run, services.clock.now()
    hours = services.settings.queue_timeout_s / 3600
    message = f"the run waited {hours:g} hours in the queue and was not started; see what it waited for, and replay it"
    error = error_data("queue.timeout", message, step_id=None, at=now)
    await fail_run(services, stored, error, dead_letter_write(run, _RUN_STEP, "", error, 1, now))
