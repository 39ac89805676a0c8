"""Put runs into their org's queue, take held ones up, and end those that waited too long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from convergence.domain.events import run_event
from convergence.domain.queue import OrgQueue, pause_of, queue_path, rank_of
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.engine.finish_run import error_data, fail_run
from convergence.engine.messages import publish_events, publish_queue_changed
from convergence.engine.queue.waiting import LOOK_AGAIN_S, ensure_queue, queued, ready_write
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, dead_letter_write, read_run, write_run
from convergence.errors import Conflict, QuotaExceeded
from convergence.ports.documents import Where, Write

_RUN_STEP = "_run"
RELEASED_MAX: Final = 10  # runs that are taken up together
PAUSED_LOOK_AGAIN_S: Final = 600  # should the hint at the end of a pause be lost
WAITING_MAX: Final = 1_000  # runs of an org that callers put into its queue; many at once may exceed it by a few


async def enqueue(services: Services, run: Run, priority: Priority = Priority.INTERACTIVE) -> Run:
    """Store a checked run as a queued one, and hint at it; one commit. Return it.

    Raises:
        QuotaExceeded: the org has the maximum number of waiting runs.
    """
    waiting = queued(services, run, priority, f"queued ({run.trigger})", token=run.token)
    assert waiting.queue is not None, "queued() gives it a place"
    await ensure_queue(services, run.org)
    queue = await services.documents.get(queue_path(run.org))
    known = 0 if queue is None else await count_waiting(services, OrgQueue.from_data(queue.data))
    held = [Where("queue.held_after", "==", pause_of(run.org, run.pipeline))]
    if known + await services.documents.count("runs", where=held) >= WAITING_MAX:
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
    """Give the first runs that waited for the end of `run_id`, or of a pause, their rank; return how many."""
    page = await services.documents.query("runs", where=[Where("queue.held_after", "==", run_id)], limit=RELEASED_MAX)
    for document in page.documents:
        stored = await read_run(services, document.path.rpartition("/")[2])
        if stored is not None:
            await _release(services, stored)
    return len(page.documents)


async def check_queued(services: Services, stored: StoredRun) -> None:
    """Reconcile a queued run: take it up when what it was held for is over; fail it when it waited too long.

    The time of a pause does not count as waiting.
    """
    run, now = stored.run, services.clock.now()
    assert run.queue is not None, "only queued runs are checked here"
    paused = run.queue.held_after == pause_of(run.org, run.pipeline)
    if now >= run.deadline_at and not paused:
        await _give_up(services, stored)
        return
    if run.queue.held_after and await _is_over(services, run, run.queue.held_after):
        await _release(services, stored)
        return
    token = services.ids.new("t")
    soon = run.deadline_at
    if run.queue.held_after:
        soon = now + timedelta(seconds=PAUSED_LOOK_AGAIN_S if paused else LOOK_AGAIN_S)
    try:
        await write_run(services, changed(run, check_at=soon, token=token), stored.version)
    except Conflict:
        return  # the other writer decides


async def hold(services: Services, stored: StoredRun, moved: Write) -> None:
    """Set a queued run of a paused pipeline aside, so that the next one of its pool has its turn.

    `moved` writes the org's queue: it fails when the pause has ended since the queue was read. Raises `Conflict`.
    """
    run, now = stored.run, services.clock.now()
    assert run.queue is not None, "only queued runs are held"
    aside = changed(run.queue, rank="", held_after=pause_of(run.org, run.pipeline))
    again = now + timedelta(seconds=PAUSED_LOOK_AGAIN_S)
    token = services.ids.new("t")
    await write_run(services, changed(run, queue=aside, check_at=again, token=token), stored.version, moved)


async def _is_over(services: Services, run: Run, held_after: str) -> bool:
    if held_after == pause_of(run.org, run.pipeline):
        return run.pipeline not in (await services.orgs.get(run.org)).paused_pipelines
    before = await read_run(services, held_after)
    return before is None or before.run.terminal


async def _release(services: Services, stored: StoredRun) -> None:
    run, place = stored.run, stored.run.queue
    if place is None or not place.held_after:
        return
    token = services.ids.new("t")
    ranked = changed(place, held_after="", rank=rank_of(place.priority, run.dated, run.run_id))
    gives_up = run.deadline_at
    if place.held_after == pause_of(run.org, run.pipeline):
        gives_up = services.clock.now() + timedelta(seconds=services.settings.queue_timeout_s)
    freed = changed(run, queue=ranked, deadline_at=gives_up, check_at=gives_up, token=token)
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
