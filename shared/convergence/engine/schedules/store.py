"""Schedules as documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from convergence.domain.schedule import Schedule, ScheduleState
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import Conflict, NotFound, did_you_mean
from convergence.ports.documents import Replace, Where, Write

SCHEDULES: Final = "schedules"
_ATTEMPTS: Final = 8
_PAGE: Final = 500


class StoredSchedule(NamedTuple):
    """A schedule and the version it was read at."""

    schedule: Schedule
    version: int


async def read_schedule(services: Services, schedule_id: str) -> StoredSchedule | None:
    """Return a schedule, a deleted one too, or None."""
    document = await services.documents.get(f"{SCHEDULES}/{schedule_id}")
    return None if document is None else StoredSchedule(Schedule.from_data(document.data), document.version)


async def require_schedule(services: Services, org: str, schedule_id: str) -> StoredSchedule:
    """Return a schedule of `org`. Raises `NotFound`, also for another org's or a deleted one."""
    stored = await read_schedule(services, schedule_id) if schedule_id and "/" not in schedule_id else None
    if stored is None or stored.schedule.org != org or stored.schedule.state is ScheduleState.DELETED:
        known = [each.schedule.schedule_id for each in await schedules_of(services, org)]
        raise NotFound(f"{org} has no schedule {schedule_id[:100]!r}.{did_you_mean(schedule_id[:100], known)}")
    return stored


async def schedules_of(services: Services, org: str, *, deleted: bool = False) -> list[StoredSchedule]:
    """Return the schedules of an org, by pipeline."""
    found: list[StoredSchedule] = []
    cursor: str | None = None
    while True:
        page = await services.documents.query(
            SCHEDULES, where=[Where("org", "==", org)], order=[], limit=_PAGE, cursor=cursor
        )
        found += [StoredSchedule(Schedule.from_data(each.data), each.version) for each in page.documents]
        if page.cursor is None:
            break
        cursor = page.cursor
    kept = [each for each in found if deleted or each.schedule.state is not ScheduleState.DELETED]
    return sorted(kept, key=lambda each: (each.schedule.pipeline, each.schedule.name, each.schedule.credential_id))


async def change(
    services: Services, org: str, schedule_id: str, edit: Callable[[Schedule], tuple[Schedule, list[Write]]]
) -> Schedule:
    """Store `edit` of a schedule, with the writes of the same commit; return it.

    Raises:
        NotFound: the org has no such schedule.
        Conflict: other writers keep committing first.
    """
    for _ in range(_ATTEMPTS):
        schedule, version = await require_schedule(services, org, schedule_id)
        edited, extra = edit(schedule)
        if edited is schedule:
            return schedule
        try:
            await commit(services.documents, [Replace(edited.path, version, edited.to_data()), *extra], edited.token)
        except Conflict:
            continue
        return edited
    raise Conflict(f"schedule {schedule_id} is being changed by others; try again")
