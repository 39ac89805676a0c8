"""Keep a backfill's window of runs full until every slice is decided.

One commit per round: the object moves and its runs are created together, so that after an acknowledged pause or cancel
no further run is created.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from convergence.domain.backfill import Backfill, BackfillStatus, SliceState
from convergence.domain.events import run_event
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.domain.wording import counted
from convergence.engine.backfills.create import check_running, dates_of
from convergence.engine.backfills.ended import without_ended
from convergence.engine.cancel import cancel
from convergence.engine.messages import publish_events, publish_queue_changed
from convergence.engine.queue.unprepared_run import Cause, unprepared_run
from convergence.engine.queue.waiting import ensure_queue, queued, ready_write
from convergence.engine.retention.expiry import expiry
from convergence.engine.rounds import change_between_rounds, feed_each_due
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import ConfigErrors, Conflict, InvalidInput, NotFound, did_you_mean
from convergence.ports.documents import Create, Order, Replace, Where, Write

logger = logging.getLogger(__name__)
BACKFILLS: Final = "backfills"
_LOOK_AGAIN_S: Final = 60
_PAGE: Final = 100
_ATTEMPTS: Final = 8
_RUNNING_MAX: Final = 1_000


class StoredBackfill(NamedTuple):
    """A backfill and the version it was read at."""

    backfill: Backfill
    version: int


async def read_backfill(services: Services, backfill_id: str) -> StoredBackfill | None:
    """Return a backfill, or None."""
    document = await services.documents.get(f"{BACKFILLS}/{backfill_id}")
    return None if document is None else StoredBackfill(Backfill.from_data(document.data), document.version)


async def require_backfill(services: Services, org: str, backfill_id: str) -> StoredBackfill:
    """Return a backfill of `org`. Raises `NotFound`, also for another org's."""
    stored = await read_backfill(services, backfill_id) if backfill_id and "/" not in backfill_id else None
    if stored is None or stored.backfill.org != org:
        known = [each.backfill_id for each in await backfills_of(services, org)]
        raise NotFound(f"{org} has no backfill {backfill_id[:100]!r}.{did_you_mean(backfill_id[:100], known)}")
    return stored


async def backfills_of(services: Services, org: str, *, limit: int = 50) -> list[Backfill]:
    """Return the backfills of an org, latest first."""
    page = await services.documents.query(
        BACKFILLS, where=[Where("org", "==", org)], order=[Order("created_at", descending=True)], limit=limit
    )
    return [Backfill.from_data(document.data) for document in page.documents]


async def running_backfills(services: Services) -> list[Backfill]:
    """Return the backfills of all orgs that are running, the first due first."""
    page = await services.documents.query(
        BACKFILLS, where=[Where("next_check_at", ">", "")], order=[Order("next_check_at")], limit=_RUNNING_MAX
    )
    found = [Backfill.from_data(document.data) for document in page.documents]
    return [each for each in found if each.status is BackfillStatus.RUNNING]


async def feed_due(services: Services) -> int:
    """Feed every backfill that is due; return how many."""
    return await feed_each_due(services, BACKFILLS, feed, limit=_PAGE)


async def feed(services: Services, backfill_id: str) -> Backfill | None:
    """Take what has ended out of the window, start what fits, and end the backfill when all is decided."""
    for attempt in range(_ATTEMPTS):
        stored = await read_backfill(services, backfill_id)
        if stored is None or stored.backfill.next_check_at is None:
            return None if stored is None else stored.backfill
        try:
            return await _round(services, stored, conflicted=attempt > 0)
        except Conflict:
            continue
    return None  # its next check comes within a minute


async def pause(services: Services, org: str, backfill_id: str) -> Backfill:
    """Start no further run of it; those under way go on."""

    def edit(each: Backfill) -> Backfill:
        _refuse_over(each)
        return changed(each, status=BackfillStatus.PAUSED)

    return await _change(services, org, backfill_id, edit)


async def resume(services: Services, org: str, backfill_id: str) -> Backfill:
    """Resume a paused or stopped backfill; one that stopped after failures restarts their count.

    Raises `QuotaExceeded` as `create_backfill` does.
    """
    await check_running(services, org)

    def edit(each: Backfill) -> Backfill:
        if each.status not in (BackfillStatus.PAUSED, BackfillStatus.STOPPED):
            raise InvalidInput(f"backfill {backfill_id} is {each.status}; only a paused or stopped one can be resumed")
        failures_max = each.failures_max + each.counts()["failed"] * (each.status is BackfillStatus.STOPPED)
        return changed(each, status=BackfillStatus.RUNNING, reason="", failures_max=failures_max)

    return await _change(services, org, backfill_id, edit)


async def cancel_backfill(services: Services, org: str, backfill_id: str) -> Backfill:
    """End a backfill and cancel its runs, not those that were under way before."""

    def edit(each: Backfill) -> Backfill:
        _refuse_over(each)
        left = {index: SliceState.OPEN for indexes in each.others.values() for index in indexes}
        states = each.with_states(left)  # the runs of others continue
        return changed(each, status=BackfillStatus.CANCELLED, reason="cancelled on request", states=states, others={})

    cancelled = await _change(services, org, backfill_id, edit)
    return await feed(services, backfill_id) or cancelled


async def _round(services: Services, stored: StoredBackfill, *, conflicted: bool = False) -> Backfill:
    backfill, now = stored.backfill, services.clock.now()
    if backfill.status is BackfillStatus.CANCELLED:
        await _cancel_window(services, backfill)
    current = await without_ended(services, backfill)
    failed, token = current.counts()["failed"], services.ids.new("t")
    status, reason, indexes = current.status, current.reason, list[int]()
    if status is BackfillStatus.RUNNING and failed >= current.failures_max:
        status, reason = BackfillStatus.STOPPED, f"{failed} of its runs failed (failures_max {current.failures_max})"
    elif status is BackfillStatus.RUNNING:
        indexes = current.next_slices(current.concurrency - len(current.window))
        if not indexes and not current.window and not current.others:
            status, reason = BackfillStatus.DONE, _skipped(current)
    try:
        runs = [_run(services, current, index, token) for index in indexes]
    except (NotFound, ConfigErrors) as error:  # its pipeline is missing or invalid
        runs, indexes, status, reason = [], [], BackfillStatus.STOPPED, str(error)[:1000]
    waits = bool(current.window or current.others or runs) or status is BackfillStatus.RUNNING
    paused = status is BackfillStatus.PAUSED
    after = changed(
        current,
        status=status,
        reason=reason,
        states=current.with_states(dict.fromkeys(indexes, SliceState.RUNNING)),
        window={**current.window, **{run.run_id: index for run, index in zip(runs, indexes, strict=True)}},
        next_check_at=now + timedelta(seconds=_LOOK_AGAIN_S) if waits else None,
        expire_at=None if waits or paused else await expiry(services, "requests", backfill.org, now),
        updated_at=now,
        token=token,
    )
    writes: list[Write] = [Replace(after.path, stored.version, after.to_data())]
    if runs:
        await ensure_queue(services, backfill.org)
        pools = sorted({run.queue.pool for run in runs if run.queue is not None})
        known = await _known(services, runs) if conflicted else set()
        writes += [Create(run.path, run.to_data()) for run in runs if run.path not in known]
        writes.append(ready_write(backfill.org, pools))
    await commit(services.documents, writes, token)
    if runs:
        await publish_events(services.bus, [run_event(run) for run in runs])
        await publish_queue_changed(services.bus, backfill.org)
    return after


def _skipped(backfill: Backfill) -> str:
    """Return why slices were left alone that no run completed; empty where there are none."""
    count = backfill.counts()["skipped"]
    return f"no run for {counted(count, 'slice')} without an earlier one: mode {backfill.mode}" if count else ""


async def _known(services: Services, runs: Sequence[Run]) -> set[str]:
    """Return the paths of the runs that are stored already: they count as under way, or the conflict would last."""
    documents = await services.documents.get_many([run.path for run in runs])
    return {document.path for document in documents if document is not None}


def run_id_of(backfill: Backfill, index: int) -> str:
    """Return the id of the run that a backfill makes of a slice, so that feeding twice makes one."""
    key = f"{backfill.backfill_id}\n{index}"
    return f"run_{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}"


def _run(services: Services, backfill: Backfill, index: int, token: str) -> Run:
    sliced = backfill.slices()[index]
    run_id = run_id_of(backfill, index)
    run = unprepared_run(
        services,
        Cause(run_id=run_id, request=f"{backfill.backfill_id}@{index}", trigger="backfill"),
        org=backfill.org,
        pipeline=backfill.pipeline,
        credential_id=backfill.credential_id,
        parameters={**backfill.parameters, **dates_of(sliced)},
        token=token,
        backfill_id=backfill.backfill_id,
    )
    reason = f"slice {sliced.start} … {sliced.end} of backfill {backfill.backfill_id}"
    return queued(services, run, Priority.BACKFILL, reason, token=token)


async def _cancel_window(services: Services, backfill: Backfill) -> None:
    for run_id in backfill.window:
        try:
            await cancel(services, backfill.org, run_id, reason=f"backfill {backfill.backfill_id} was cancelled")
        except NotFound:
            continue


async def _change(services: Services, org: str, backfill_id: str, edit: Callable[[Backfill], Backfill]) -> Backfill:
    return await change_between_rounds(
        services, lambda: require_backfill(services, org, backfill_id), edit, f"backfill {backfill_id}"
    )


def _refuse_over(backfill: Backfill) -> None:
    if backfill.over:
        raise InvalidInput(f"backfill {backfill.backfill_id} is {backfill.status} already")
