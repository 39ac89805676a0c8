"""What an org changes about a schedule, or gives a new one: the same for the API, the CLI and the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from convergence.config.files.providers import provider_of
from convergence.domain.records import changed
from convergence.domain.schedule import Missed, Overlap, Schedule, Timing
from convergence.engine.schedules import edit
from convergence.engine.schedules.states import Edit, paused, resumed, unchanged
from convergence.engine.services import Services
from convergence.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """Only what is not None changes. `cron` and `timezone` were checked (`config.cron`)."""

    cron: str | None = None
    timezone: str | None = None
    jitter_minutes: int | None = None
    starting_deadline_minutes: int | None = None
    missed: Missed | None = None
    overlap: Overlap | None = None
    queue_max: int | None = None
    parameters: Mapping[str, Any] | None = None
    enabled: bool | None = None
    paused_until: datetime | None = None
    catch_up: bool = False  # with `enabled`: decide what was missed while it was paused

    def timing(self, before: Timing) -> Timing:
        """Return the timing with the given fields."""
        given: dict[str, Any] = {
            "cron": self.cron,
            "timezone": self.timezone,
            "jitter_s": _seconds(self.jitter_minutes),
            "starting_deadline_s": _seconds(self.starting_deadline_minutes),
            "missed": self.missed,
            "overlap": self.overlap,
            "queue_max": self.queue_max,
        }
        return changed(before, **{name: value for name, value in given.items() if value is not None})

    def apply(self, schedule: Schedule) -> Schedule:
        """Return the schedule with timing and parameters as given; what the org changed stays when the file changes."""
        timing = self.timing(schedule.timing)
        overridden = {*schedule.overridden}
        if timing != schedule.timing:
            overridden.add("timing")
        if self.parameters is None:
            return changed(schedule, timing=timing, overridden=tuple(sorted(overridden)))
        kept = tuple(sorted({*overridden, "parameters"}))
        return changed(schedule, timing=timing, parameters=self.parameters, overridden=kept)

    def switch(self, services: Services) -> Edit:
        """Return the edit that pauses or resumes. Raises `InvalidInput` for a contradiction or a wrong time."""
        now = services.clock.now()
        if self.paused_until is not None and (self.enabled is False or self.catch_up):
            other = "catch_up, which makes up for pauses" if self.catch_up else "is_enabled: false, which has no end"
            raise InvalidInput(f"paused_until contradicts {other}: give one of them")
        if self.paused_until is not None or self.enabled is False:
            return paused(services, now, until=self.paused_until)
        return resumed(now, catch_up=self.catch_up) if self.enabled else unchanged


async def change_schedule(services: Services, org: str, schedule_id: str, change: ScheduleChange) -> Schedule:
    """Store a change of times, parameters and whether it fires in one commit; one that is refused changes nothing.

    Raises:
        NotFound: the schedule.
        InvalidInput: a parameter, `paused_until`, what contradicts it, or the system stopped the schedule.
    """
    return await edit.edit_schedule(services, org, schedule_id, change.apply, change.switch(services))


async def add_schedule(
    services: Services, org: str, pipeline: str, name: str, change: ScheduleChange, *, credential_id: str = ""
) -> Schedule:
    """Store a schedule of the org's own, beside those of the pipelines' files.

    Raises:
        NotFound: the pipeline.
        Conflict: there is one of this name for the pipeline and credential.
        InvalidInput: no cron, a parameter, `paused_until`, the credential, or the org has the maximum number of
            schedules.
    """
    if change.cron is None:
        raise InvalidInput("a new schedule needs a cron expression")
    loaded = services.catalog.get(pipeline)
    await _check_credential(services, org, loaded.pipeline.provider, credential_id)
    schedule = edit.new_schedule(
        services,
        org=org,
        pipeline=loaded.path,
        provider=loaded.pipeline.provider,
        timing=change.timing(Timing(cron=change.cron)),
        name=name,
        credential_id=credential_id,
    )
    return await edit.create(services, changed(schedule, parameters=change.parameters or {}), change.switch(services))


async def _check_credential(services: Services, org: str, provider: str, credential_id: str) -> None:
    if not credential_id:
        return
    found = await services.credentials.find(org, provider, credential_id)
    if found is None or found.provider != provider:
        registered = provider_of(services.providers(), provider)
        raise InvalidInput(f"{org} has no {registered.display_name if registered else provider} credential of this id")


def _seconds(minutes: int | None) -> int | None:
    return None if minutes is None else minutes * 60
