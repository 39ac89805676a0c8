"""The admission pass: which queued runs start now, in start-time fair order over orgs (docs/scheduling.md).

Order of reads: an org's queue is read before its runs. An enqueue in between then fails the pass's commit on that
queue; read the other way round, the new run would be forgotten.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Final, NamedTuple

from convergence.domain.caps import GLOBAL
from convergence.domain.events import run_event
from convergence.domain.queue import OrgQueue, queue_path
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.domain.transitions import appended
from convergence.engine.finish_run import begin, error_data, fail_run
from convergence.engine.messages import publish_events
from convergence.engine.pipeline_limits import check_once, take_turn
from convergence.engine.prepare_run import Prepared, RunRequest, prepare
from convergence.engine.queue.enqueue import hold
from convergence.engine.queue.reservation import (
    CapReached,
    caps_of,
    free_places,
    installation_caps,
    rate_of,
    reserve,
    reserved_until,
    with_one_registry,
)
from convergence.engine.services import Services
from convergence.engine.store import (
    StoredRun,
    budget_path,
    dead_letter_write,
    plan_path,
    read_run,
    read_usage,
    write,
    write_run,
)
from convergence.errors import Conflict, ConvergenceError, QuotaExceeded, RateLimited, Transient
from convergence.ports.documents import Create, Order, Replace, Where

logger = logging.getLogger(__name__)
_PAGE: Final = 50
_FIRST_PAGE: Final = 5
_MORE: Final = 5  # orgs beyond the free places: some of them have other limits
_PASS_MAX: Final = 200  # admissions
_PASS_MAX_S: Final = 10.0
_RECHECK_S: Final = 60.0  # of an org at its limit, should the hint at the end of its run be lost
_OPENS_MAX_S: Final = 3600.0  # its plan may change before its limit opens
_LOWEST_EVERY: Final = 8  # one admission in so many is for the least urgent class, so that it never starves
_MINUTES_MIN: Final = 0.1
_CLOCK: Final = "admission/clock"
_CLOCK_EVERY_S: Final = 1.0
_RUN_STEP: Final = "_run"


class Admitted(NamedTuple):
    """What a pass did."""

    runs: int


class _Head(NamedTuple):
    """The first run of a pool."""

    stored: StoredRun
    pool: str


@dataclass(slots=True)
class _Pass:
    """One pass: the heap of ready orgs, and how far it is."""

    virtual_time: float
    began: datetime
    heap: list[tuple[float, str]]
    admitted: int = 0
    places: int = 0  # of the installation's cap, as far as the pass knows; 0: it has to look


async def admission_pass(services: Services) -> Admitted:
    """Admit queued runs until there is no ready org, no place, or the pass has done its share.

    At most one in each process: another one would only meet its conflicts.
    """
    async with services.cache.lock("admission"):
        return await _pass(services)


async def _pass(services: Services) -> Admitted:
    services, now = with_one_registry(services), services.clock.now()
    clock = await services.documents.get(_CLOCK)
    before = 0.0 if clock is None else float(clock.data["virtual_time"])
    current = _Pass(before, now, [])
    page = _FIRST_PAGE
    while True:
        room = await _room(services, current)
        page = min(_PAGE, max(page, room + _MORE))
        ready = await _ready(services, page) if room else []
        current.heap = [(max(queue.virtual_start, current.virtual_time), queue.org) for queue in ready]
        heapq.heapify(current.heap)
        progress = current.admitted
        # Orgs behind the page come before one whose next turn is later than the page's last.
        last = ready[-1].virtual_start if len(ready) == page else inf
        while current.heap and current.heap[0][0] <= max(last, current.virtual_time):
            late = (services.clock.now() - now).total_seconds() > _PASS_MAX_S
            if late or current.admitted >= _PASS_MAX or not await _room(services, current):
                await _keep_time(services, current, before)
                return Admitted(current.admitted)
            await _next_org(services, current)
        moved = current.admitted > progress
        if len(ready) < page or (page == _PAGE and not moved):
            await _keep_time(services, current, before)
            return Admitted(current.admitted)
        page = page if moved else _PAGE  # the first ones wait for other limits: look further


async def _room(services: Services, current: _Pass) -> int:
    """Return how many places the installation has; at most so many orgs are worth a look.

    The caps are read again when the places found are taken, or when an org was looked at in vain: another pass may
    have taken what was free.
    """
    caps = installation_caps(services)
    if not caps:
        return _PAGE
    if current.places <= 0:
        current.places = min((await free_places(services, caps)).values())
    return current.places


async def _ready(services: Services, limit: int) -> list[OrgQueue]:
    page = await services.documents.query(
        "org_queues", where=[Where("ready", "==", True)], order=[Order("virtual_start")], limit=limit
    )
    return [OrgQueue.from_data(document.data) for document in page.documents]


async def _next_org(services: Services, current: _Pass) -> None:
    tag, org = heapq.heappop(current.heap)
    document = await services.documents.get(queue_path(org))
    if document is None:
        return
    queue = OrgQueue.from_data(document.data)
    if not queue.ready:
        return
    moved = max(queue.virtual_start, current.virtual_time)
    if moved > tag and current.heap and moved > current.heap[0][0]:
        heapq.heappush(current.heap, (moved, org))  # another pass admitted a run of it: it is not its turn any more
        return
    try:
        admitted = current.admitted
        again = await _admit_one(services, current, queue, document.version)
        current.places = current.places - 1 if current.admitted > admitted else 0
    except Conflict:
        current.places = 0
        again = moved  # the queue, a cap or the run has changed: look at the org again, in its place
    except Transient as error:
        logger.warning("queue of %s: %s; it comes again with the next pass", org, error)
        return
    except Exception as error:  # an org whose run cannot be looked at holds up no other
        logger.warning("queue of %s: %s; it comes again in a minute", org, error, exc_info=error)
        await _put_off(services, queue, document.version, str(error))
        return
    if again is not None:
        heapq.heappush(current.heap, (again, org))


async def _admit_one(services: Services, current: _Pass, queue: OrgQueue, version: int) -> float | None:
    """Admit the org's next run, or note what it waits for. Return its new tag when it may have more runs."""
    heads = await _heads(services, queue)
    if not heads:
        await _rest(services, changed(queue, waiting_pools={}), version, reason="")
        return None
    blocked: list[str] = []
    limited: list[RateLimited] = []
    for head in heads:
        full = await _full_caps(services, head.stored.run)
        if full:
            blocked += full
            continue
        try:
            if not await _check_room(services, head.stored.run):
                unmoved = changed(queue, token=services.ids.new("t"))
                await hold(services, head.stored, Replace(queue.path, version, unmoved.to_data()))
                return max(queue.virtual_start, current.virtual_time)  # the next one of the org
            prepared = await _prepared(services, head.stored)
            if prepared is None:
                return max(queue.virtual_start, current.virtual_time)  # it failed; the next one of the org
            cost = max(_MINUTES_MIN, queue.minutes.get(head.stored.run.pipeline, _MINUTES_MIN)) / prepared.org.weight
            start = max(queue.virtual_start, current.virtual_time)
            moved = changed(
                queue,
                virtual_start=start + cost,
                waiting_pools={each.pool: True for each in heads},
                reason="",
                admitted=queue.admitted + 1,
                token=services.ids.new("t"),
            )
            await _start(services, head.stored, prepared, Replace(queue.path, version, moved.to_data()))
        except CapReached as reached:
            blocked.append(reached.cap)
            continue
        except RateLimited as reached:  # its pipeline's own limit; the other pools may have runs that can start
            limited.append(reached)
            continue
        except QuotaExceeded as reached:
            await _rest(services, queue, version, reason=str(reached), wait_s=_until_it_opens(reached))
            return None
        current.virtual_time = max(current.virtual_time, start)
        current.admitted += 1
        return start + cost
    names = tuple(dict.fromkeys(blocked))
    if GLOBAL in names:
        return max(queue.virtual_start, current.virtual_time)  # still its turn, should a place be free again
    reasons = [f"no free place in {', '.join(names)}"] if names else []
    reasons += [str(each) for each in limited]
    wait_s = min([_RECHECK_S, *(each.retry_after_s or _RECHECK_S for each in limited)])
    await _rest(services, queue, version, reason="; ".join(reasons)[:1000], wait_s=wait_s, blocked_on=names)
    return None


def _until_it_opens(reached: QuotaExceeded) -> float:
    return min(_OPENS_MAX_S, max(_RECHECK_S, reached.retry_after_s or 0.0))


async def _full_caps(services: Services, run: Run) -> list[str]:
    """Return the full caps of a run but that of the installation, which the pass has just looked at."""
    caps = caps_of(services, run.provider, run.credential_id)
    free = await free_places(services, [cap for cap in caps if cap.name != GLOBAL])
    return [name for name, places in free.items() if not places]


async def _check_room(services: Services, run: Run) -> bool:
    """Find a full org, or a pipeline at its own limit, before anything is prepared; False: the pipeline is paused.

    The org is read after its queue, which a pause writes: a run that starts was not paused before.
    Raises `QuotaExceeded` and `RateLimited`.
    """
    org = await services.orgs.get(run.org)
    if run.pipeline in org.paused_pipelines:
        return False
    usage, _ = await read_usage(services, budget_path(run))
    now = services.clock.now()
    usage.reserve(run.run_id, org.limits, now=now, until=now, counted=True, token="")
    await take_turn(services, run, rate_of(services, run.pipeline))
    return True


async def _heads(services: Services, queue: OrgQueue) -> list[_Head]:
    """Return the first run of each pool, the org's most urgent first; of every eighth, the least urgent first."""
    lowest = queue.admitted % _LOWEST_EVERY == _LOWEST_EVERY - 1
    heads = [head for pool in sorted(queue.waiting_pools) if (head := await _head(services, queue.org, pool))]
    heads.sort(key=lambda head: head.stored.run.queue.rank if head.stored.run.queue else "")
    if not lowest:
        return heads
    least = [head for pool in sorted(queue.waiting_pools) if (head := await _head(services, queue.org, pool, "2"))]
    kept = {head.stored.run.run_id for head in least}
    return [*least, *(head for head in heads if head.stored.run.run_id not in kept)]


async def _head(services: Services, org: str, pool: str, least: str = "") -> _Head | None:
    where = [Where("queue.org", "==", org), Where("queue.pool", "==", pool)]
    if least:
        where.append(Where("queue.rank", ">=", least))
    page = await services.documents.query("runs", where=where, order=[Order("queue.rank")], limit=1)
    if not page.documents:
        return None
    stored = await read_run(services, page.documents[0].path.rpartition("/")[2])
    if stored is None or stored.run.queue is None:
        raise Conflict("the head of the queue has moved; read again")
    return _Head(stored, pool)


async def _prepared(services: Services, stored: StoredRun) -> Prepared | None:
    """Return what admission stores, or None after failing a run whose pipeline or parameters are wrong by now."""
    run = stored.run
    request = RunRequest(
        org=run.org,
        pipeline=run.pipeline,
        parameters=run.parameters,
        credential_id=run.credential_id,
        trigger=run.trigger,
        created_by=run.created_by,
        fire_time=run.dated,
        timezone=run.timezone,
        queued=run,
    )
    try:
        prepared = await prepare(services, request)
        await check_once(services, prepared.run)  # another run may have completed it while this one waited
        return prepared
    except (Transient, Conflict):
        raise
    except ConvergenceError as refused:
        now = services.clock.now()
        error = error_data(refused.code, str(refused), step_id=None, at=now)
        await fail_run(services, stored, error, dead_letter_write(run, _RUN_STEP, "", error, 1, now))
        return None


async def _start(services: Services, stored: StoredRun, prepared: Prepared, moved: Replace) -> None:
    """Start a run: one commit with its plan, its places and its org's queue. Raises `Conflict`."""
    run, now, fresh = stored.run, services.clock.now(), prepared.run
    timeout = fresh.deadline_at - fresh.created_at
    history = run.transitions
    for at, to, reason in fresh.transitions:
        history = appended(history, datetime.fromisoformat(at), to, reason)
    started = changed(
        fresh,
        created_at=run.created_at,
        fire_time=run.fire_time,
        request_digest=run.request_digest,
        schedule_id=run.schedule_id,
        backfill_id=run.backfill_id,
        parent_run=run.parent_run,
        chain_depth=run.chain_depth,
        status=RunStatus.RUNNING,
        deadline_at=now + timeout,
        started_at=now,
        transitions=history,
        moves=run.moves + fresh.moves,
    )
    until = reserved_until(services, started.deadline_at)
    reserved = await reserve(services, started, prepared.limits, until=until, counted=True)
    turn = await take_turn(services, started, prepared.per_minute)
    plan = Create(plan_path(started), prepared.plan.to_data())
    written = await write_run(services, reserved.run, stored.version, plan, moved, *reserved.writes, *turn)
    services.cache.remember(written.run.run_id, written.run.plan_epoch, prepared.plan)
    await publish_events(services.bus, [run_event(written.run)])
    await begin(services, written, prepared.plan)


async def _put_off(services: Services, queue: OrgQueue, version: int, reason: str) -> None:
    with suppress(Conflict, Transient):  # then it comes again with the next pass
        await _rest(services, queue, version, reason=reason[:1000])


async def _rest(
    services: Services,
    queue: OrgQueue,
    version: int,
    *,
    reason: str,
    wait_s: float = _RECHECK_S,
    blocked_on: tuple[str, ...] = (),
) -> None:
    """Take an org out of the ready ones until something may have changed. Raises `Conflict`."""
    next_check_at = None
    if queue.waiting_pools:
        next_check_at = services.clock.now() + timedelta(seconds=wait_s)
    rested = changed(
        queue,
        ready=False,
        next_check_at=next_check_at,
        blocked_on=blocked_on,
        reason=reason,
        token=services.ids.new("t"),
    )
    await services.documents.commit([Replace(queue.path, version, rested.to_data())])


async def _keep_time(services: Services, current: _Pass, before: float) -> None:
    """Store the virtual time, at most once a second; of two passes the larger one stays."""
    if current.virtual_time <= before:
        return
    stored = await services.documents.get(_CLOCK)
    known: Mapping[str, float] = {} if stored is None else stored.data
    now = services.clock.now().timestamp()
    if current.virtual_time <= known.get("virtual_time", 0.0) or now - known.get("at", 0.0) < _CLOCK_EVERY_S:
        return
    data = {"virtual_time": current.virtual_time, "at": now}
    try:
        await services.documents.commit([write(_CLOCK, 0 if stored is None else stored.version, data)])
    except Conflict:
        return  # the other pass stored its time
