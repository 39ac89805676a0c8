"""What a change makes of a schedule: pure but for the records of what it skips; `edit` commits it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from convergence.domain.firing import moved, next_slot, placed, skip_come
from convergence.domain.records import changed
from convergence.domain.schedule import Schedule, ScheduleState
from convergence.engine.schedules.firing import skip_run
from convergence.engine.schedules.instants import CronInstants
from convergence.engine.services import Services
from convergence.errors import InvalidInput
from convergence.ports.documents import Create, Write

Edit = Callable[[Schedule], tuple[Schedule, list[Write]]]

_INSTANTS = CronInstants()
_PAUSE_MAX: Final = timedelta(days=3660)


def unchanged(schedule: Schedule) -> tuple[Schedule, list[Write]]:
    """Return the schedule as it is."""
    return schedule, []


def paused(services: Services, now: datetime, *, until: datetime | None = None) -> Edit:
    """Return the edit that pauses for good or until a time, with what is due by now recorded as skipped.

    Raises:
        InvalidInput: `until` is not in the future, or too far in it; the edit raises it for a stopped schedule.
    """
    if until is not None and until <= now:
        raise InvalidInput(f"paused_until must be a time in the future, not {until.isoformat()}")
    if until is not None and until - now > _PAUSE_MAX:
        raise InvalidInput(f"paused_until may be at most {_PAUSE_MAX.days} days from now; a pause without it lasts")

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        decided, writes = skip_due(services, schedule, now, "the schedule was paused")
        if until is None:
            return changed(_enabled(placed(decided, None), on=False), paused_until=None), writes
        _refuse_stopped(schedule)
        waiting = placed(decided, next_slot(_INSTANTS, schedule.timing, until))
        return changed(_enabled(waiting, on=True), paused_until=until), writes

    return edit


def resumed(now: datetime, *, catch_up: bool = False) -> Edit:
    """Return the edit that lets a schedule fire again: from now on, or from where it stopped."""

    def edit(schedule: Schedule) -> tuple[Schedule, list[Write]]:
        _refuse_stopped(schedule)
        enabled = changed(_enabled(schedule, on=True), paused_until=None)
        return _caught_up(enabled, now) if catch_up else from_now(enabled, now), []

    return edit


def stopped(services: Services, schedule: Schedule, reason: str, now: datetime) -> tuple[Schedule, list[Write]]:
    """Return the schedule stopped by the system, with what is due recorded as skipped."""
    decided, writes = skip_due(services, schedule, now, reason)
    return changed(placed(decided, None), state=ScheduleState.STOPPED, reason=reason), writes


def retimed(before: Schedule, after: Schedule, now: datetime) -> Schedule:
    """Return `after` with other times than `before`: they count from now on.

    A slot that is due stays, and everything else through now is decided. Where several are due, as in a catch-up, the
    new times hold for all after the first one: none is lost.
    """
    if before.slot is not None and before.slot <= now:
        through = max(before.slot, before.decided_through or before.slot)
        second = next_slot(_INSTANTS, before.timing, through)
        if second is None or second > now:
            after = changed(after, decided_through=max(now, through))
    return from_now(after, now)


def from_now(schedule: Schedule, now: datetime) -> Schedule:
    """Return the schedule at its first instant that is not decided: one that has come already, or the next."""
    if schedule.state is not ScheduleState.ENABLED:
        return placed(schedule, None)
    if schedule.slot is not None and schedule.slot <= now:
        return schedule  # an instant that has passed, and waits for a tick or for its jitter, stays to be decided
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


def _caught_up(schedule: Schedule, now: datetime) -> Schedule:
    """Return the schedule at its first instant that is not decided, also one that was missed in a pause."""
    if schedule.state is not ScheduleState.ENABLED or schedule.decided_through is None:
        return from_now(schedule, now)
    missed = next_slot(_INSTANTS, schedule.timing, schedule.decided_through)
    if schedule.slot is not None and schedule.slot <= now and (missed is None or schedule.slot <= missed):
        return schedule
    return placed(schedule, missed)


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
            f"schedule {schedule.schedule_id} is stopped: {schedule.reason}. Fix that, and it starts again"
        )
