"""The scheduler's tick: turn due schedules into queued runs and recorded skips.

A firing creates its run and moves its schedule in one commit, whose precondition is the schedule's version: any number
of ticks, restarts and instances make one run of an instant. Planning is left to admission, so that a tick is cheap.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from convergence.config.files.retention import expires
from convergence.domain.events import DELAY_MS, Event, run_event
from convergence.domain.firing import Decision, decide, due_since
from convergence.domain.records import changed
from convergence.domain.run import NO_PLAN, Run
from convergence.domain.schedule import LastSkip, Priority, Schedule, ScheduleState, scheduled_run_id
from convergence.domain.status import RunStatus
from convergence.domain.times import from_text, to_text
from convergence.domain.transitions import appended
from convergence.domain.webhook_delivery import WebhookDelivery
from convergence.engine.cancel import announce_cancelled, cancellation
from convergence.engine.lateness import warn_if_late
from convergence.engine.messages import publish_events, publish_queue_changed, publish_webhooks_ready
from convergence.engine.queue.reservation import with_one_registry
from convergence.engine.queue.unprepared_run import Cause, unprepared_run
from convergence.engine.queue.waiting import ensure_queues, queued, ready_write
from convergence.engine.schedules.instants import CronInstants
from convergence.engine.schedules.lookback import lookback
from convergence.engine.schedules.store import SCHEDULES, StoredSchedule
from convergence.engine.services import Services
from convergence.engine.store import commit, read_run
from convergence.engine.webhooks.create import creates, deliveries_by_run, of_runs
from convergence.errors import Conflict, ConvergenceError, NotFound, Transient
from convergence.ports.documents import Create, Order, Patch, Replace, Where, Write
from convergence.tenants.orgs import Org, not_runnable

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


@dataclass(frozen=True, slots=True)
class _Firing:
    """One schedule's decision as writes; `writes` begins with the schedule's own."""

    schedule: Schedule
    token: str
    writes: list[Write]
    run: Run | None = None
    delay: timedelta = timedelta()  # from when the run was due to this decision
    skips: list[Run] = field(default_factory=list)
    cancelled: list[Run] = field(default_factory=list)
    deliveries: list[WebhookDelivery] = field(default_factory=list)  # of the skips and of what was cancelled


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
    firings: list[_Firing] = []
    for stored in due:
        try:
            firing = await _firing(services, stored, orgs.get(stored.schedule.org), active, now)
        except (Transient, Conflict) as error:  # says nothing about the schedule: the next tick decides it
            logger.warning("schedule %s: %s; the next tick tries again", stored.schedule.schedule_id, error)
            continue
        except Exception as error:  # one that cannot be decided holds up no other
            unforeseen = None if isinstance(error, ConvergenceError) else error
            logger.warning("schedule %s: %s", stored.schedule.schedule_id, error, exc_info=unforeseen)
            firing = await _stopped(services, stored, str(error), now)
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


async def _with_deliveries(services: Services, firings: Sequence[_Firing]) -> list[_Firing]:
    """Return the firings with what webhooks are to hear of their skips and of the runs that they cancel."""
    ended = [run for firing in firings for run in (*firing.skips, *firing.cancelled)]
    found = await deliveries_by_run(services, ended)
    return [
        replace(firing, deliveries=[one for run in (*firing.skips, *firing.cancelled) for one in found[run.run_id]])
        for firing in firings
    ]


async def _commit(services: Services, batch: Sequence[_Firing], done: Ticked) -> int:
    """Commit firings together, after a conflict each alone; return how many schedules moved."""
    try:
        await _write(services, batch)
    except Conflict:
        if len(batch) > 1:
            return sum([await _commit(services, [each], done) for each in batch])
        return await _after_conflict(services, batch[0], done)
    await _announce(services, batch, done)
    return len(batch)


async def _after_conflict(services: Services, firing: _Firing, done: Ticked) -> int:
    """Move on where a run or skip exists already although the schedule stands still, which it would do forever."""
    made = [*firing.skips, *([] if firing.run is None else [firing.run])]
    found = await services.documents.get_many([run.path for run in made])
    known = {run.path for run, document in zip(made, found, strict=True) if document is not None}
    if known:
        try:
            await _write(services, [_without(firing, known)])
        except Conflict:
            pass
        else:
            return 1
    done.conflicts += 1
    return 0


def _without(firing: _Firing, known: set[str]) -> _Firing:
    """Return the firing without what is stored already; nothing is cancelled for a run that is not new."""
    if firing.run is not None and firing.run.path in known:
        firing = replace(firing, run=None, writes=[firing.writes[0], *_new(firing.skips, known)], cancelled=[])
    new = [run for run in firing.skips if run.path not in known]
    return replace(
        firing,
        writes=[each for each in firing.writes if each.path not in known],
        deliveries=of_runs(firing.deliveries, [*new, *firing.cancelled]),
    )


def _new(skips: Sequence[Run], known: set[str]) -> list[Create]:
    return [Create(each.path, each.to_data()) for each in skips if each.path not in known]


async def _write(services: Services, batch: Sequence[_Firing]) -> None:
    pools: defaultdict[str, set[str]] = defaultdict(set)
    for firing in batch:
        if firing.run is not None and firing.run.queue is not None and firing.run.queue.rank:
            pools[firing.run.org].add(firing.run.queue.pool)
    await ensure_queues(services, pools)
    marks = [ready_write(org, sorted(names)) for org, names in sorted(pools.items())]
    writes = [write for firing in batch for write in (*firing.writes, *creates(firing.deliveries))]
    await commit(services.documents, [*writes, *marks], batch[0].token)


async def _announce(services: Services, batch: Sequence[_Firing], done: Ticked) -> None:
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


async def _firing(
    services: Services, stored: StoredSchedule, org: Org | None, active: Mapping[str, Run], now: datetime
) -> _Firing | None:
    schedule, version = stored
    refusal = "the org does not exist" if org is None else not_runnable(org)
    alive = [run_id for run_id in schedule.active_runs if run_id in active]
    since = active[alive[-1]].created_at if alive else None
    decision = decide(CronInstants(), schedule, alive, now, active_since=since, refusal=refusal)
    if decision is None:
        return None
    token = services.ids.new("t")
    after = changed(decision.schedule, token=token, updated_at=now)
    if refusal:
        after = changed(after, state=ScheduleState.STOPPED, reason=refusal, slot=None, due_at=None)
    skips = [skip_run(services, schedule, skip, token) for skip in decision.skips]
    run = None if decision.fires is None else _queued_run(services, schedule, decision, token)
    if run is not None:
        after = changed(after, active_runs=(*after.active_runs, run.run_id), last_run=run.run_id)
    cancelled, cancels = await _cancelled(services, decision, token)
    if cancelled:
        gone = {each.run_id for each in cancelled}
        after = changed(after, active_runs=tuple(each for each in after.active_runs if each not in gone))
    writes: list[Write] = [Replace(schedule.path, version, after.to_data())]
    writes += [Create(each.path, each.to_data()) for each in (*skips, *([] if run is None else [run]))]
    recent = None if decision.fires is None else lookback(services, schedule, decision.fires, token)
    writes += [] if recent is None else [Create(recent.path, recent.to_data())]
    delay = _delay(schedule, decision, now)
    return _Firing(after, token, [*writes, *cancels], run, delay, skips, cancelled)


def _delay(schedule: Schedule, decision: Decision, now: datetime) -> timedelta:
    """Return how long ago the firing was due; its jitter is not a delay, but waiting for the end of a run is one."""
    due = due_since(schedule)
    if decision.fires is None or schedule.slot is None or due is None:
        return timedelta()
    return max(timedelta(), now - decision.fires - (due - schedule.slot))


async def _stopped(services: Services, stored: StoredSchedule, reason: str, now: datetime) -> _Firing:
    """Stop a schedule whose pipeline is gone or wrong: repairing the file and syncing starts it again."""
    token = services.ids.new("t")
    after = changed(
        stored.schedule,
        state=ScheduleState.STOPPED,
        reason=reason[:1000],
        slot=None,
        due_at=None,
        token=token,
        updated_at=now,
    )
    return _Firing(after, token, [Replace(after.path, stored.version, after.to_data())])


def _queued_run(services: Services, schedule: Schedule, decision: Decision, token: str) -> Run:
    slot = decision.fires
    assert slot is not None, "only a decision that fires makes a run"
    run = _unprepared(services, schedule, slot, token)
    delayed = "" if not decision.held_after else f", after run {decision.held_after}"
    reason = f"due at {to_text(slot)} (schedule {schedule.name}){delayed}"
    return queued(services, run, Priority.SCHEDULED, reason, held_after=decision.held_after, token=token)


def skip_run(services: Services, schedule: Schedule, skip: LastSkip, token: str) -> Run:
    """Return the record of instants that were not run: a run under the id of the last of them."""
    now = services.clock.now()
    run = _unprepared(services, schedule, skip.last, token)
    times = "" if skip.count == 1 else f" {skip.count} firings from {to_text(skip.first)}:"
    return changed(
        run,
        status=RunStatus.SKIPPED,
        plan_epoch=NO_PLAN,
        check_at=None,
        finished_at=now,
        expire_at=expires(services.retention(), "runs", {}, now),
        transitions=appended((), now, RunStatus.SKIPPED, f"skipped{times or ':'} {skip.reason}"),
        moves=1,
    )


def _unprepared(services: Services, schedule: Schedule, slot: datetime, token: str) -> Run:
    run_id = scheduled_run_id(schedule.schedule_id, slot)
    return unprepared_run(
        services,
        Cause(run_id=run_id, request=f"{schedule.schedule_id}@{to_text(slot)}", trigger="schedule"),
        org=schedule.org,
        pipeline=schedule.pipeline,
        credential_id=schedule.credential_id,
        parameters=schedule.parameters,
        token=token,
        fire_time=slot,
        timezone=schedule.timing.timezone,
        schedule_id=schedule.schedule_id,
    )


async def _cancelled(services: Services, decision: Decision, token: str) -> tuple[list[Run], list[Write]]:
    """Return the runs that a firing with overlap `cancel_running` ends, and the writes that end them."""
    runs: list[Run] = []
    writes: list[Write] = []
    for run_id in decision.cancels:
        stored = await read_run(services, run_id)
        if stored is not None and not stored.run.terminal:
            run, ends = cancellation(services, stored, "a later firing of its schedule took its place", token)
            runs.append(run)
            writes += ends
    return runs, _merged(writes)


def _merged(writes: Sequence[Write]) -> list[Write]:
    """Return the writes with patches of one document made one: a commit may name a path once."""
    patches: dict[str, Patch] = {}
    rest: list[Write] = []
    for each in writes:
        if isinstance(each, Patch):
            before = patches.get(each.path, Patch(each.path))
            patches[each.path] = Patch(each.path, {**before.set, **each.set}, (*before.unset, *each.unset))
        else:
            rest.append(each)
    return [*rest, *patches.values()]


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
