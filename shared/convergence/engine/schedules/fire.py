"""The scheduler's tick: turn due schedules into queued runs and recorded skips.

A firing creates its run and moves its schedule in one commit, whose precondition is the schedule's version: any number
of ticks, restarts and instances create one run for an instant. Planning is left to admission, so that a tick is cheap.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from convergence.domain.events import DELAY_MS, Event, run_event
from convergence.domain.run import Run
from convergence.domain.schedule import Schedule
from convergence.domain.times import from_text, to_text
from convergence.engine.cancel import announce_cancelled
from convergence.engine.lateness import warn_if_late
from convergence.engine.messages import publish_events, publish_queue_changed, publish_webhooks_ready
from convergence.engine.queue.reservation import with_one_registry
from convergence.engine.queue.waiting import ensure_queues, ready_write
from convergence.engine.schedules.firing import Firing, firing_of, stopping, without_stored
from convergence.engine.schedules.store import SCHEDULES, StoredSchedule
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.engine.webhooks.create import creates, deliveries_by_run
from convergence.errors import Conflict, ConvergenceError, NotFound, Transient
from convergence.ports.documents import Order, Where
from convergence.tenants.orgs import Org

logger = logging.getLogger(__name__)
_PAGE: Final = 100
_BATCH: Final = 30  # firings in one commit
_PASS_MAX: Final = 2_000  # pages of one tick


@dataclass(slots=True)
class Ticked:
    """What a tick did."""

    fired: int = 0
    skipped: int = 0
    conflicts: int = 0  # schedules that another instance decided


async def fire_due(services: Services) -> Ticked:
    """Decide every schedule that is due, earliest first."""
    done = Ticked()
    for number in range(_PASS_MAX):
        now = services.clock.now()
        page = await services.documents.query(
            SCHEDULES, where=[Where("due_at", "<=", to_text(now))], order=[Order("due_at")], limit=_PAGE
        )
        if not page.documents:
            break
        if number == 0:
            warn_if_late("schedules", from_text(page.documents[0].data["due_at"]), now)
        due = [StoredSchedule(Schedule.from_data(each.data), each.version) for each in page.documents]
        moved = await _decide_page(services, due, now, done)
        if not moved or len(due) < _PAGE:
            break
    return done


async def _decide_page(services: Services, due: Sequence[StoredSchedule], now: datetime, done: Ticked) -> int:
    services = with_one_registry(services)
    orgs = await _orgs(services, {each.schedule.org for each in due})
    active = await _active_runs(services, [each.schedule for each in due])
    firings: list[Firing] = []
    for stored in due:
        try:
            firing = await firing_of(services, stored, orgs.get(stored.schedule.org), active, now)
        except (Transient, Conflict) as error:  # says nothing about the schedule: the next tick decides it
            logger.warning("schedule %s: %s; the next tick tries again", stored.schedule.schedule_id, error)
            continue
        except Exception as error:  # one that cannot be decided does not block the others
            unforeseen = None if isinstance(error, ConvergenceError) else error
            logger.warning("schedule %s: %s", stored.schedule.schedule_id, error, exc_info=unforeseen)
            firing = stopping(services, stored, str(error), now)
        if firing is not None:
            firings.append(firing)
    firings = await _with_deliveries(services, firings)
    alone = [each for each in firings if each.cancelled or each.deliveries]
    together = [each for each in firings if not (each.cancelled or each.deliveries)]
    batches = [[each] for each in alone] + [together[at : at + _BATCH] for at in range(0, len(together), _BATCH)]
    moved = 0
    for batch in batches:
        moved += await _commit(services, batch, done)
    return moved


async def _with_deliveries(services: Services, firings: Sequence[Firing]) -> list[Firing]:
    """Return the firings with what webhooks are to hear of their skips and of the runs that they cancel."""
    ended = [run for firing in firings for run in (*firing.skips, *firing.cancelled)]
    found = await deliveries_by_run(services, ended)
    return [
        replace(firing, deliveries=[one for run in (*firing.skips, *firing.cancelled) for one in found[run.run_id]])
        for firing in firings
    ]


async def _commit(services: Services, batch: Sequence[Firing], done: Ticked) -> int:
    """Commit firings together, after a conflict each alone; return how many schedules moved."""
    try:
        await _write(services, batch)
    except Conflict:
        if len(batch) > 1:
            return sum([await _commit(services, [each], done) for each in batch])
        return await _after_conflict(services, batch[0], done)
    await _announce(services, batch, done)
    return len(batch)


async def _after_conflict(services: Services, firing: Firing, done: Ticked) -> int:
    """Move on where a run or skip exists already although the schedule has not moved, or it never would."""
    made = [*firing.skips, *([] if firing.run is None else [firing.run])]
    found = await services.documents.get_many([run.path for run in made])
    known = {run.path for run, document in zip(made, found, strict=True) if document is not None}
    if known:
        try:
            await _write(services, [without_stored(firing, known)])
        except Conflict:
            pass
        else:
            return 1
    done.conflicts += 1
    return 0


async def _write(services: Services, batch: Sequence[Firing]) -> None:
    pools: defaultdict[str, set[str]] = defaultdict(set)
    for firing in batch:
        if firing.run is not None and firing.run.queue is not None and firing.run.queue.rank:
            pools[firing.run.org].add(firing.run.queue.pool)
    await ensure_queues(services, pools)
    marks = [ready_write(org, sorted(names)) for org, names in sorted(pools.items())]
    writes = [write for firing in batch for write in (*firing.writes, *creates(firing.deliveries))]
    await commit(services.documents, [*writes, *marks], batch[0].token)


async def _announce(services: Services, batch: Sequence[Firing], done: Ticked) -> None:
    events = []
    for firing in batch:
        done.fired += firing.run is not None
        done.skipped += len(firing.skips)
        events += [run_event(run) for run in firing.skips]
        events += [] if firing.run is None else [_accepted(firing.run, firing.delay)]
        for run in firing.cancelled:
            await announce_cancelled(services, run)
    if events:
        await publish_events(services.bus, events)
    await publish_webhooks_ready(services.bus, [each.delivery_id for one in batch for each in one.deliveries])
    for org in sorted({firing.run.org for firing in batch if firing.run is not None}):
        await publish_queue_changed(services.bus, org)


def _accepted(run: Run, delay: timedelta) -> Event:
    event = run_event(run)
    return {**event, "data": {**event["data"], DELAY_MS: round(delay.total_seconds() * 1000)}}


async def _orgs(services: Services, slugs: set[str]) -> dict[str, Org]:
    found: dict[str, Org] = {}
    for slug in sorted(slugs):
        try:
            found[slug] = await services.orgs.get(slug)
        except NotFound:
            continue
    return found


async def _active_runs(services: Services, schedules: Sequence[Schedule]) -> dict[str, Run]:
    """Return the runs that the schedules count as active and that have not ended."""
    names = sorted({run_id for schedule in schedules for run_id in schedule.active_runs})
    if not names:
        return {}
    documents = await services.documents.get_many([f"runs/{name}" for name in names])
    runs = [Run.from_data(each.data) for each in documents if each is not None]
    return {run.run_id: run for run in runs if not run.terminal}
