"""Bring an org's schedules in line with the pipelines' files and with its credentials.

A pipeline gets them if it has a `schedule` and a run of it would be accepted now: one for every usable credential of
its provider, or a single one when no step opens a credential. What an org changed itself stays.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from convergence.config.loader import LoadedPipeline
from convergence.config.model import pipeline as model
from convergence.domain.records import changed
from convergence.domain.schedule import DEFAULT_NAME, Blackout, Missed, Overlap, Schedule, ScheduleState, Timing
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.requirements import check_steps
from convergence.engine.schedules.edit import new_schedule
from convergence.engine.schedules.states import from_now, retimed, skip_due, stopped
from convergence.engine.schedules.store import StoredSchedule, schedules_of
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import ConfigErrors, Conflict, ConvergenceError, NotFound
from convergence.ports.documents import Create, Delete, Replace, Write
from convergence.tenants.orgs import Org, not_runnable
from convergence.tenants.schedule_requests import REQUESTS

_PAGE: Final = 100
logger = logging.getLogger(__name__)
GONE: Final = "its pipeline's file no longer has a schedule"
NO_CREDENTIAL: Final = "its credential is gone"


@dataclass(slots=True)
class Synced:
    """What a sync changed."""

    created: int = 0
    updated: int = 0
    stopped: int = 0


async def sync_org(services: Services, slug: str) -> Synced:
    """Sync one org. Conflicts are left to the next sync: another one does the same work."""
    org = await services.orgs.get(slug)
    declared, reasons = await _declared(services, org)
    done = Synced()
    known = {each.schedule.schedule_id: each for each in await schedules_of(services, slug, deleted=True)}
    for schedule_id, schedule in declared.items():
        await _sync_one(services, schedule, known.get(schedule_id), done)
    for schedule_id, stored in known.items():
        if stored.schedule.from_pipeline and schedule_id not in declared:
            await _stop(services, stored, await _reason(services, org, stored.schedule, reasons), done)
        elif not stored.schedule.from_pipeline:
            await _check_own(services, org, stored, done)
    return done


async def sync_requested(services: Services) -> int:
    """Sync the orgs whose credentials or status changed; return how many."""
    synced: set[str] = set()
    while True:
        page = await services.documents.query(REQUESTS, limit=_PAGE)
        for slug in dict.fromkeys(document.data["org"] for document in page.documents):
            if await _try(services, slug) is not None:
                synced.add(slug)
        done = [Delete(each.path) for each in page.documents if each.data["org"] in synced]
        if done:  # those that were added meanwhile are not among them, and those that failed stay for the next tick
            await services.documents.commit(done)
        if len(page.documents) < _PAGE or not done:
            return len(synced)


async def _try(services: Services, slug: str) -> Synced | None:
    """Sync one org; None when that fails, which holds up no other org."""
    try:
        return await sync_org(services, slug)
    except NotFound:
        return Synced()  # the org no longer exists
    except Exception as error:
        logger.warning("schedules of %s are not up to date: %s", slug, error, exc_info=error)
        return None


async def sync_all(services: Services) -> Synced:
    """Sync every org."""
    total = Synced()
    for slug in await services.orgs.slugs():
        done = await _try(services, slug) or Synced()
        total.created += done.created
        total.updated += done.updated
        total.stopped += done.stopped
    return total


def timing_of(schedule: model.Schedule) -> Timing:
    """Return the timing of a pipeline's schedule."""
    return Timing(
        cron=schedule.cron,
        timezone=schedule.timezone,
        jitter_s=schedule.jitter_minutes * 60,
        starting_deadline_s=schedule.starting_deadline_s,
        missed=Missed(schedule.missed),
        overlap=Overlap(schedule.overlap),
        queue_max=schedule.queue_max,
        start=schedule.start,
        end=schedule.end,
        blackouts=tuple(Blackout(start=each.start, end=each.end, reason=each.reason) for each in schedule.blackouts),
    )


async def _declared(services: Services, org: Org) -> tuple[dict[str, Schedule], dict[str, str]]:
    """Return the schedules that the pipelines' files give an org, by id; and why pipelines give it none, by path."""
    if not_runnable(org):
        return {}, {}
    found: dict[str, Schedule] = {}
    reasons: dict[str, str] = {}
    for loaded in _scheduled(services):
        written = loaded.pipeline.schedule
        assert written is not None, "_scheduled() returns no others"
        try:
            credentials = await _credentials(services, org, loaded)
        except ConvergenceError as error:
            reasons[loaded.path] = str(error)
            continue
        for credential_id in credentials:
            schedule = new_schedule(
                services,
                org=org.slug,
                pipeline=loaded.path,
                provider=loaded.pipeline.provider,
                timing=timing_of(written),
                name=DEFAULT_NAME,
                credential_id=credential_id,
            )
            enabled = written.enabled and not org.demo
            found[schedule.schedule_id] = changed(
                schedule,
                from_pipeline=True,
                enabled=enabled,
                state=_state(enabled=enabled),
                parameters=dict(written.parameters),
            )
    return found, reasons


async def _credentials(services: Services, org: Org, loaded: LoadedPipeline) -> list[str]:
    """Return the credentials with which a run would be accepted now, one schedule for each; [""] when none is opened.

    Raises what `prepare` raises: then no run would be accepted.
    """
    provider = loaded.pipeline.provider
    usable = [each for each in await services.credentials.all(org.slug, provider) if each.status != "invalid"]
    first = usable[0].credential_id if usable else ""
    written = loaded.pipeline.schedule
    given = {} if written is None else dict(written.parameters)
    prepared = await prepare(
        services, RunRequest(org=org.slug, pipeline=loaded.path, parameters=given, credential_id=first)
    )
    openings = check_steps(services, loaded, prepared.plan, prepared.run.parameters)
    if usable and any(provider in opening.names for opening in openings):
        return [each.credential_id for each in usable]
    return [""]


def _scheduled(services: Services) -> list[LoadedPipeline]:
    """Return the pipelines with a schedule; a file with mistakes keeps its schedules until it is repaired."""
    found = []
    for name in services.catalog.names():
        try:
            loaded = services.catalog.get(name)
        except (ConfigErrors, NotFound):
            continue
        if loaded.pipeline.schedule is not None:
            found.append(loaded)
    return found


async def _reason(services: Services, org: Org, schedule: Schedule, reasons: Mapping[str, str]) -> str:
    """Return why an org has a schedule no more; empty when it keeps it, as while its file has mistakes."""
    refusal = not_runnable(org)
    if refusal:
        return refusal
    try:
        loaded = services.catalog.get(schedule.pipeline)
    except NotFound:
        return "its pipeline is gone"
    except ConfigErrors:
        return ""
    if loaded.pipeline.schedule is None:
        return GONE
    known = {each.credential_id for each in await services.credentials.all(org.slug, schedule.provider)}
    return reasons.get(schedule.pipeline, "") if schedule.credential_id in {"", *known} else NO_CREDENTIAL


async def _sync_one(services: Services, declared: Schedule, stored: StoredSchedule | None, done: Synced) -> None:
    now, token = services.clock.now(), services.ids.new("t")
    if stored is None:
        made = from_now(changed(declared, token=token), now)
        await _commit(services, [Create(made.path, made.to_data())], token)
        done.created += 1
        return
    known = stored.schedule
    merged = _merged(known, declared)
    if merged == known:
        return
    skips: list[Write] = []
    if known.state is ScheduleState.ENABLED and merged.state is ScheduleState.PAUSED:
        decided, skips = skip_due(services, known, now, "the schedule was paused in its pipeline's file")
        merged = _merged(decided, declared)
    after = changed(merged, token=token, updated_at=now)
    if merged.timing != known.timing or merged.state is not known.state:
        after = changed(retimed(known, after, now), revision=known.revision + 1)
    await _commit(services, [Replace(after.path, stored.version, after.to_data()), *skips], token)
    done.updated += 1


def _merged(known: Schedule, declared: Schedule) -> Schedule:
    """Return the stored schedule with the file's definition, but for what the org has overridden."""
    timing: dict[str, Any] = {} if "timing" in known.overridden else {"timing": declared.timing}
    parameters: dict[str, Any] = {} if "parameters" in known.overridden else {"parameters": declared.parameters}
    enabled = known.enabled if "enabled" in known.overridden else declared.enabled
    reason = "" if known.state in (ScheduleState.STOPPED, ScheduleState.DELETED) else known.reason
    merged = changed(known, **timing, **parameters, enabled=enabled, state=_state(enabled=enabled), reason=reason)
    return changed(merged, provider=declared.provider)


def _state(*, enabled: bool) -> ScheduleState:
    return ScheduleState.ENABLED if enabled else ScheduleState.PAUSED


async def _stop(services: Services, stored: StoredSchedule, reason: str, done: Synced) -> None:
    if not reason or stored.schedule.state in (ScheduleState.STOPPED, ScheduleState.DELETED):
        return
    now, token = services.clock.now(), services.ids.new("t")
    after, writes = stopped(services, stored.schedule, reason, now)
    after = changed(after, token=token, updated_at=now)
    await _commit(services, [Replace(after.path, stored.version, after.to_data()), *writes], token)
    done.stopped += 1


async def _check_own(services: Services, org: Org, stored: StoredSchedule, done: Synced) -> None:
    """Stop a schedule of the org's own whose org, pipeline or credential is gone; start it when they are back."""
    schedule = stored.schedule
    reason = not_runnable(org)
    if not reason and schedule.pipeline not in services.catalog.names():
        reason = "its pipeline is gone"
    if not reason and schedule.credential_id:
        known = {each.credential_id for each in await services.credentials.all(org.slug, schedule.provider)}
        reason = "" if schedule.credential_id in known else NO_CREDENTIAL
    if reason:
        await _stop(services, stored, reason, done)
    elif schedule.state is ScheduleState.STOPPED:
        now, token = services.clock.now(), services.ids.new("t")
        state = _state(enabled=schedule.enabled)
        after = from_now(changed(schedule, state=state, reason="", token=token, updated_at=now), now)
        await _commit(services, [Replace(after.path, stored.version, after.to_data())], token)
        done.updated += 1


async def _commit(services: Services, writes: list[Write], token: str) -> None:
    try:
        await commit(services.documents, writes, token)
    except Conflict:
        return  # another sync, a tick or an edit was first; the next sync sees the result
