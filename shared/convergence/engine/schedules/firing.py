"""What the decision about a due schedule writes: the schedule's move, its run, recorded skips, and cancelled runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from convergence.config.files.retention import expires
from convergence.domain.firing import Decision, decide, due_since
from convergence.domain.records import changed
from convergence.domain.run import NO_PLAN, Run
from convergence.domain.schedule import LastSkip, Priority, Schedule, ScheduleState, scheduled_run_id
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.domain.transitions import appended
from convergence.domain.webhook_delivery import WebhookDelivery
from convergence.engine.cancel import cancellation
from convergence.engine.queue.unprepared_run import Cause, unprepared_run
from convergence.engine.queue.waiting import queued
from convergence.engine.schedules.instants import CronInstants
from convergence.engine.schedules.lookback import lookback
from convergence.engine.schedules.store import StoredSchedule
from convergence.engine.services import Services
from convergence.engine.store import read_run
from convergence.engine.webhooks.create import of_runs
from convergence.ports.documents import Create, Patch, Replace, Write
from convergence.tenants.orgs import Org, not_runnable


@dataclass(frozen=True, slots=True)
class Firing:
    """One schedule's decision as writes; `writes` begins with the schedule's own."""

    schedule: Schedule
    token: str
    writes: list[Write]
    run: Run | None = None
    delay: timedelta = timedelta()  # from when the run was due to this decision
    skips: list[Run] = field(default_factory=list)
    cancelled: list[Run] = field(default_factory=list)
    deliveries: list[WebhookDelivery] = field(default_factory=list)  # of the skips and of what was cancelled


async def firing_of(
    services: Services, stored: StoredSchedule, org: Org | None, active: Mapping[str, Run], now: datetime
) -> Firing | None:
    """Decide a schedule at `now`; None where nothing is to be decided. `active` has the runs that have not ended."""
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
    return Firing(after, token, [*writes, *cancels], run, delay, skips, cancelled)


def stopping(services: Services, stored: StoredSchedule, reason: str, now: datetime) -> Firing:
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
    return Firing(after, token, [Replace(after.path, stored.version, after.to_data())])


def without_stored(firing: Firing, known: set[str]) -> Firing:
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


def _delay(schedule: Schedule, decision: Decision, now: datetime) -> timedelta:
    """Return how long ago the firing was due; its jitter is not a delay, but waiting for the end of a run is one."""
    due = due_since(schedule)
    if decision.fires is None or schedule.slot is None or due is None:
        return timedelta()
    return max(timedelta(), now - decision.fires - (due - schedule.slot))


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
