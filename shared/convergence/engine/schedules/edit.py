"""Changes to schedules: each is one commit against the version that was read, so no firing slips in between.

What is due at the moment of a change is decided first: by the old definition before an edit, as a recorded skip at a
pause or a deletion.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from convergence.config.checks.parameters import TEMPLATE
from convergence.config.parameters.reading import has_template
from convergence.config.parameters.values import resolve_parameters
from convergence.domain.firing import moved, next_slot, placed, skip_come
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.schedule import DEFAULT_NAME, Schedule, ScheduleState, Timing, schedule_id_of
from convergence.engine.dispatch import dispatch
from convergence.engine.kept_parameters import check_kept
from convergence.engine.prepare_run import RunRequest
from convergence.engine.schedules.fire import fire_due, skip_run
from convergence.engine.schedules.instants import CronInstants
from convergence.engine.schedules.store import SCHEDULES, change, read_schedule, require_schedule
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import Conflict, InvalidInput
from convergence.ports.documents import Create, Replace, Where, Write

_INSTANTS = CronInstants()
_ROUNDS = 5  # ticks before an edit of the times; more schedules than they decide are due only after a long outage
_PAUSE_MAX: Final = timedelta(days=3660)
_SCHEDULES_MAX: Final = 1_000  # of an org; callers at the same time may exceed it by a few
Edit = Callable[[Schedule], tuple[Schedule, list[Write]]]


async def pause(services: Services, org: str, schedule_id: str, *, until: datetime | None = None) -> Schedule:
    """Stop firing, for good or until a time; firings that are due now are recorded as skipped."""
    now = services.clock.now()
    if until is not None and until <= now:
        raise InvalidInput(f"paused_until is a time in the future, not {until.isoformat()}")
    if until is not None and until - now > _PAUSE_MAX:
        raise InvalidInput(f"paused_until is at most {_PAUSE_MAX.days} days from now; a pause without it lasts")

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        decided, writes = skip_due(services, schedule, now, "the schedule was paused")
        if until is None:
            paused = changed(_enabled(placed(decided, None), on=False), paused_until=None)
            return paused, writes
        _refuse_stopped(schedule)
        waiting = placed(decided, next_slot(_INSTANTS, schedule.timing, until))
        return changed(_enabled(waiting, on=True), paused_until=until), writes

    return await change(services, org, schedule_id, _marked(services, now, edit))


async def resume(services: Services, org: str, schedule_id: str, *, catch_up: bool = False) -> Schedule:
    """Fire again: from now on, or with `catch_up` from where it stopped, as its policy for missed firings says."""
    now = services.clock.now()

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        _refuse_stopped(schedule)
        enabled = changed(_enabled(schedule, on=True), paused_until=None)
        return _from(enabled, now, catch_up=catch_up), []

    return await change(services, org, schedule_id, _marked(services, now, edit))


async def delete(services: Services, org: str, schedule_id: str) -> Schedule:
    """Remove a schedule; its document stays as the memory of what was decided."""
    now = services.clock.now()

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        if schedule.from_pipeline:
            raise InvalidInput(
                "this schedule belongs to the pipeline's file and would come back; pause it instead, which lasts"
            )
        decided, writes = skip_due(services, schedule, now, "the schedule was deleted")
        return changed(placed(decided, None), state=ScheduleState.DELETED, reason="deleted"), writes

    return await change(services, org, schedule_id, _marked(services, now, edit))


async def create(services: Services, schedule: Schedule) -> Schedule:
    """Store a new schedule of an org, or revive the deleted one of the same name.

    Raises:
        Conflict: there is one of this name for the pipeline and credential.
        InvalidInput: the name, a parameter, or the org has as many schedules as it may.
    """
    if schedule.name == DEFAULT_NAME:
        raise InvalidInput(f"{DEFAULT_NAME!r} is the name of the schedule in the pipeline's file; choose another name")
    check_parameters(services, schedule)
    now, token = services.clock.now(), services.ids.new("t")
    known = await read_schedule(services, schedule.schedule_id)
    if known is None:
        await _check_number(services, schedule.org)
        made = _from(changed(schedule, token=token), now)
        await commit(services.documents, [Create(made.path, made.to_data())], token)
        return made
    if known.schedule.state is not ScheduleState.DELETED:
        raise Conflict(f"{schedule.org} has a schedule {schedule.name!r} for {schedule.pipeline} already")
    before = known.schedule
    revived = changed(
        schedule,
        token=token,
        created_at=before.created_at,
        decided_through=before.decided_through,
        active_runs=before.active_runs,
        last_run=before.last_run,
        last_skip=before.last_skip,
        revision=before.revision + 1,
    )
    made = _from(revived, now)
    await commit(services.documents, [Replace(made.path, known.version, made.to_data())], token)
    return made


async def edit_schedule(
    services: Services, org: str, schedule_id: str, new: Callable[[Schedule], Schedule]
) -> Schedule:
    """Store an edit of timing, parameters or both. What is due goes by the old times, with the new parameters."""
    stored = await require_schedule(services, org, schedule_id)
    check_parameters(services, new(stored.schedule))
    now = services.clock.now()
    for _ in range(_ROUNDS):
        stored = await require_schedule(services, org, schedule_id)
        if new(stored.schedule).timing == stored.schedule.timing or not _is_due(stored.schedule, now):
            break
        await fire_due(services)  # decide by the old definition what is due

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        edited = new(schedule)
        if edited.timing == schedule.timing:
            return edited, []
        return changed(_from(edited, now), revision=schedule.revision + 1), []

    return await change(services, org, schedule_id, _marked(services, now, edit))


async def trigger(services: Services, org: str, schedule_id: str) -> Run:
    """Start what a schedule runs, now; its own firings are not touched. Raises what `dispatch` raises."""
    schedule = (await require_schedule(services, org, schedule_id)).schedule
    request = RunRequest(
        org=org,
        pipeline=schedule.pipeline,
        parameters=schedule.parameters,
        credential_id=schedule.credential_id,
        trigger="schedule",
        timezone=schedule.timing.timezone,
        queue=True,
    )
    return await dispatch(services, request)


def check_parameters(services: Services, schedule: Schedule) -> None:
    """Check a schedule's parameters against its pipeline. Raises `NotFound` and `InvalidInput`."""
    loaded = services.catalog.get(schedule.pipeline)
    check_kept(loaded, schedule.parameters, "a schedule")
    templated = sorted(name for name, value in schedule.parameters.items() if has_template(value))
    if templated:
        raise InvalidInput(f"{', '.join(templated)}: {TEMPLATE}")
    resolve_parameters(loaded, schedule.parameters, fire_time=services.clock.now())


def new_schedule(
    services: Services, *, org: str, pipeline: str, provider: str, timing: Timing, name: str, credential_id: str = ""
) -> Schedule:
    """Return a schedule that is not stored yet."""
    now = services.clock.now()
    return Schedule(
        schedule_id=schedule_id_of(org, pipeline, credential_id, name),
        org=org,
        pipeline=pipeline,
        provider=provider,
        name=name,
        timing=timing,
        created_at=now,
        updated_at=now,
        credential_id=credential_id,
    )


def from_now(schedule: Schedule, now: datetime) -> Schedule:
    """Return the schedule at its first instant that is not decided: one that has come already, or the next."""
    return _from(schedule, now)


def stopped(services: Services, schedule: Schedule, reason: str, now: datetime) -> tuple[Schedule, list[Write]]:
    """Return the schedule stopped by the system, with what is due recorded as skipped."""
    decided, writes = skip_due(services, schedule, now, reason)
    return changed(placed(decided, None), state=ScheduleState.STOPPED, reason=reason), writes


def _enabled(schedule: Schedule, *, on: bool) -> Schedule:
    """Return the schedule as the org wants it; one that the system stopped stays so until its reason is gone."""
    overridden = tuple(dict.fromkeys((*schedule.overridden, "enabled")))
    if schedule.state is ScheduleState.STOPPED:
        return changed(schedule, enabled=on, overridden=overridden)
    state = ScheduleState.ENABLED if on else ScheduleState.PAUSED
    return changed(schedule, enabled=on, overridden=overridden, state=state, reason="")


def _refuse_stopped(schedule: Schedule) -> None:
    if schedule.state is ScheduleState.STOPPED:
        raise InvalidInput(
            f"schedule {schedule.schedule_id} is stopped: {schedule.reason}. Repair that; it starts then"
        )


def _from(schedule: Schedule, now: datetime, *, catch_up: bool = False) -> Schedule:
    if schedule.state is not ScheduleState.ENABLED:
        return placed(schedule, None)
    through = schedule.decided_through
    if catch_up and through is not None:
        return placed(schedule, next_slot(_INSTANTS, schedule.timing, through))
    if schedule.slot is not None and schedule.slot <= now:
        return schedule  # an instant that has come, and waits for a tick or for its jitter, stays to be decided
    if schedule.paused_until is not None and schedule.paused_until > now:
        return placed(schedule, next_slot(_INSTANTS, schedule.timing, schedule.paused_until))
    return moved(_INSTANTS, schedule, now)


def skip_due(services: Services, schedule: Schedule, now: datetime, reason: str) -> tuple[Schedule, list[Write]]:
    """Return the schedule with every instant that has come recorded as skipped, and the writes of the records."""
    decision = skip_come(_INSTANTS, schedule, now, reason)
    if decision is None:
        return schedule, []
    runs = [skip_run(services, schedule, skip, services.ids.new("t")) for skip in decision.skips]
    return decision.schedule, [Create(run.path, run.to_data()) for run in runs]


async def _check_number(services: Services, org: str) -> None:
    """Raise `InvalidInput` when an org has as many schedules as it may: every tick and sync reads them."""
    if await services.documents.count(SCHEDULES, where=[Where("org", "==", org)]) >= _SCHEDULES_MAX:
        raise InvalidInput(
            f"{org} has {_SCHEDULES_MAX} schedules, those included that were deleted: change one, or use the name of a "
            "deleted one again"
        )


def _is_due(schedule: Schedule, now: datetime) -> bool:
    return schedule.due_at is not None and schedule.due_at <= now


def _marked(services: Services, now: datetime, edit: Edit) -> Edit:
    """Give every edit its own token and time."""
    token = services.ids.new("t")

    def apply(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        edited, writes = edit(schedule)
        return changed(edited, token=token, updated_at=now), writes

    return apply
