"""Changes to schedules: each is one commit against the version that was read, so no firing slips in between.

What is due at the moment of a change is decided first: by the old definition before an edit, as a recorded skip at a
pause or a deletion.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from convergence.config.checks.parameters import TEMPLATE
from convergence.config.parameters.reading import has_template
from convergence.config.parameters.values import resolve_parameters
from convergence.domain.firing import placed
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.schedule import DEFAULT_NAME, Schedule, ScheduleState, Timing, schedule_id_of
from convergence.engine.dispatch import dispatch
from convergence.engine.kept_parameters import check_kept
from convergence.engine.prepare_run import RunRequest
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.states import Edit, from_now, paused, resumed, retimed, skip_due, unchanged
from convergence.engine.schedules.store import SCHEDULES, change, read_schedule, require_schedule
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import Conflict, InvalidInput
from convergence.ports.documents import Create, Replace, Where, Write

_ROUNDS = 5  # ticks before an edit of the times; more schedules than they decide are due only after a long outage
_SCHEDULES_MAX: Final = 1_000  # of an org; callers at the same time may exceed it by a few


async def pause(services: Services, org: str, schedule_id: str, *, until: datetime | None = None) -> Schedule:
    """Stop firing, for good or until a time; firings that are due now are recorded as skipped."""
    now = services.clock.now()
    return await change(services, org, schedule_id, _marked(services, now, paused(services, now, until=until)))


async def resume(services: Services, org: str, schedule_id: str, *, catch_up: bool = False) -> Schedule:
    """Fire again: from now on, or with `catch_up` from where it stopped, as its policy for missed firings says."""
    now = services.clock.now()
    return await change(services, org, schedule_id, _marked(services, now, resumed(now, catch_up=catch_up)))


async def delete(services: Services, org: str, schedule_id: str) -> Schedule:
    """Remove a schedule; its document stays as the memory of what was decided."""
    now = services.clock.now()

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        if schedule.from_pipeline:
            raise InvalidInput(
                "this schedule belongs to the pipeline's file and would be created again; pause it instead: the pause"
                " lasts"
            )
        decided, writes = skip_due(services, schedule, now, "the schedule was deleted")
        return changed(placed(decided, None), state=ScheduleState.DELETED, reason="deleted"), writes

    return await change(services, org, schedule_id, _marked(services, now, edit))


async def create(services: Services, schedule: Schedule, switch: Edit = unchanged) -> Schedule:
    """Store a new schedule of an org, or revive the deleted one of the same name; `switch` may pause it.

    Raises:
        Conflict: there is one of this name for the pipeline and credential.
        InvalidInput: the name, a parameter, or the org has the maximum number of schedules.
    """
    if schedule.name == DEFAULT_NAME:
        raise InvalidInput(f"{DEFAULT_NAME!r} is the name of the schedule in the pipeline's file; choose another name")
    check_parameters(services, schedule)
    now, token = services.clock.now(), services.ids.new("t")
    known = await read_schedule(services, schedule.schedule_id)
    if known is None:
        await _check_number(services, schedule.org)
        made, writes = switch(from_now(changed(schedule, token=token), now))
        await commit(services.documents, [Create(made.path, made.to_data()), *writes], token)
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
    made, writes = switch(from_now(revived, now))
    await commit(services.documents, [Replace(made.path, known.version, made.to_data()), *writes], token)
    return made


async def edit_schedule(
    services: Services, org: str, schedule_id: str, new: Callable[[Schedule], Schedule], switch: Edit = unchanged
) -> Schedule:
    """Store an edit of timing, parameters or both, and in the same commit `switch`, which may pause or resume it.

    What is due goes by the old times, with the new parameters. A change that is refused changes nothing.
    """
    now = services.clock.now()

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        edited = new(schedule)
        if edited.timing != schedule.timing:
            edited = changed(retimed(schedule, edited, now), revision=schedule.revision + 1)
        return switch(edited)

    stored = await require_schedule(services, org, schedule_id)
    check_parameters(services, new(stored.schedule))
    for _ in range(_ROUNDS):
        stored = await require_schedule(services, org, schedule_id)
        if new(stored.schedule).timing == stored.schedule.timing or not _is_due(stored.schedule, now):
            break
        await fire_due(services)  # decide by the old definition what is due
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


async def _check_number(services: Services, org: str) -> None:
    """Raise `InvalidInput` when an org has as many schedules as it may: every tick and sync reads them."""
    if await services.documents.count(SCHEDULES, where=[Where("org", "==", org)]) >= _SCHEDULES_MAX:
        raise InvalidInput(
            f"{org} has {_SCHEDULES_MAX} schedules, including deleted ones: change one, or use the name of a deleted"
            " one again"
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
