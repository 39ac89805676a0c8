"""The admission of one org's next run, or what its queue waits for instead."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from convergence.domain.caps import GLOBAL
from convergence.domain.queue import OrgQueue
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.engine.pipeline_limits import take_turn
from convergence.engine.queue.enqueue import hold
from convergence.engine.queue.heads import Head, first_runs
from convergence.engine.queue.reservation import CapReached, caps_of, free_places, rate_of
from convergence.engine.queue.start_queued_run import prepare_queued, start_queued
from convergence.engine.services import Services
from convergence.engine.store import budget_path, read_usage
from convergence.errors import QuotaExceeded, RateLimited
from convergence.ports.documents import Replace

_RECHECK_S: Final = 60.0  # of an org at its limit, should the hint at the end of its run be lost
_OPENS_MAX_S: Final = 3600.0  # its plan may change before its limit opens
_MINUTES_MIN: Final = 0.1


class Turn(NamedTuple):
    """What looking at an org came to."""

    tag: float | None  # its place in the order of orgs from now on; None: it rests until something may have changed
    admitted: bool = False
    places: int | None = None  # after an admission: how many the installation has left; None without a cap
    full: bool = False  # the installation had no place, or may have none


async def admit_next(services: Services, queue: OrgQueue, version: int, start: float) -> Turn:
    """Admit the org's next run at the virtual time `start`, or note what the org waits for.

    Raises:
        Conflict: the queue, a cap or the run has changed; check the org again.
    """
    heads = await first_runs(services, queue)
    if not heads:
        await rest(services, changed(queue, waiting_pools={}), version, reason="")
        return Turn(None)
    queue = changed(queue, waiting_pools={each.pool: True for each in heads})
    blocked: list[str] = []
    limited: list[RateLimited] = []
    for head in heads:
        full = await _full_caps(services, head.stored.run)
        if full:
            blocked += full
            continue
        try:
            return await _admit(services, queue, version, head, start)
        except CapReached as reached:
            blocked.append(reached.cap)
        except RateLimited as reached:  # its pipeline's own limit; the other pools may have runs that can start
            limited.append(reached)
        except QuotaExceeded as reached:
            await rest(services, queue, version, reason=str(reached), wait_s=_until_it_opens(reached))
            return Turn(None)
    if GLOBAL in blocked:
        return Turn(start, full=True)  # still its turn, should a place be free again
    await _rest_at_limits(services, queue, version, tuple(dict.fromkeys(blocked)), limited)
    return Turn(None)


async def _admit(services: Services, queue: OrgQueue, version: int, head: Head, start: float) -> Turn:
    """Start the run, or move it out of the way of the org's next one.

    Raises `CapReached`, `RateLimited`, `QuotaExceeded` and `Conflict`.
    """
    if not await _check_room(services, head.stored.run):
        unmoved = changed(queue, token=services.ids.new("t"))
        await hold(services, head.stored, Replace(queue.path, version, unmoved.to_data()))
        return Turn(start)
    prepared = await prepare_queued(services, head.stored)
    if prepared is None:
        return Turn(start)  # it failed
    minutes = queue.minutes.get(head.stored.run.pipeline, _MINUTES_MIN)
    tag = start + max(_MINUTES_MIN, minutes) / prepared.org.weight
    moved = changed(queue, virtual_start=tag, reason="", admitted=queue.admitted + 1, token=services.ids.new("t"))
    places = await start_queued(services, head.stored, prepared, Replace(queue.path, version, moved.to_data()))
    return Turn(tag, admitted=True, places=places)


async def _rest_at_limits(
    services: Services, queue: OrgQueue, version: int, caps: tuple[str, ...], limited: list[RateLimited]
) -> None:
    reasons = [f"no free place in {', '.join(caps)}"] if caps else []
    reasons += [str(each) for each in limited]
    wait_s = min([_RECHECK_S, *(each.retry_after_s or _RECHECK_S for each in limited)])
    await rest(services, queue, version, reason="; ".join(reasons)[:1000], wait_s=wait_s, blocked_on=caps)


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


async def rest(
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
