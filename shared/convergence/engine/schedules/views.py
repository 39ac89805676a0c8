"""Schedules and queues as people and programs see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.config.cron import zone
from convergence.domain.firing import due_since, open_slots
from convergence.domain.queue import OrgQueue
from convergence.domain.schedule import Schedule, ScheduleState, jitter_of
from convergence.domain.times import from_text, to_text
from convergence.engine.queue.enqueue import count_waiting
from convergence.engine.queue.waiting import paused_text
from convergence.engine.schedules.instants import CronInstants
from convergence.engine.services import Services
from convergence.ports.documents import Order, Where
from convergence.tenants.orgs import Org

NEXT_MAX: Final = 100
_PAGE: Final = 100


class SkipView(TypedDict):
    """The firings that were skipped last."""

    first: str
    last: str
    count: int
    reason: str


class ScheduleView(TypedDict):
    """A schedule. `lag_seconds`: how long a due firing has not been decided; 0 when none is due."""

    schedule_id: str
    org_slug: str
    provider: str
    pipeline: str
    name: str
    cron_expression: str
    timezone: str
    is_enabled: bool
    state: str
    reason: str
    credential_id: str
    parameters: dict[str, Any]
    missed: str
    overlap: str
    jitter_minutes: int
    next_run_at: str | None
    last_run_at: str | None
    last_run: str | None
    last_skip: SkipView | None
    paused_until: str | None
    lag_seconds: int
    created_at: str
    updated_at: str


class NextView(TypedDict):
    """One firing to come: its instant, when it starts with its jitter, and what the clock shows in its zone."""

    at: str
    starts_at: str
    local: str
    utc_offset: str
    offset_changes: bool


class QueueView(TypedDict):
    """The queue of an org: what waits, and for what."""

    org: str
    waiting: int
    ready: bool
    reason: str
    blocked_on: list[str]
    next_check_at: str | None
    virtual_start: float


def schedule_view(schedule: Schedule, now: datetime, org: Org) -> ScheduleView:
    """Return a schedule of `org` as its readers see it."""
    timing, skip = schedule.timing, schedule.last_skip
    due = due_since(schedule)
    lag = 0 if due is None else max(0, int((now - due).total_seconds()))
    return {
        "schedule_id": schedule.schedule_id,
        "org_slug": schedule.org,
        "provider": schedule.provider,
        "pipeline": schedule.pipeline,
        "name": schedule.name,
        "cron_expression": timing.cron,
        "timezone": timing.timezone,
        "is_enabled": schedule.state is ScheduleState.ENABLED,
        "state": schedule.state.value,
        "reason": schedule.reason or _paused(schedule, org),
        "credential_id": schedule.credential_id,
        "parameters": dict(schedule.parameters),
        "missed": timing.missed.value,
        "overlap": timing.overlap.value,
        "jitter_minutes": timing.jitter_s // 60,
        "next_run_at": _text(schedule.due_at),
        "last_run_at": _text(schedule.last_fired_at),
        "last_run": schedule.last_run or None,
        "last_skip": None
        if skip is None
        else {"first": to_text(skip.first), "last": to_text(skip.last), "count": skip.count, "reason": skip.reason},
        "paused_until": _text(schedule.paused_until),
        "lag_seconds": lag,
        "created_at": to_text(schedule.created_at),
        "updated_at": to_text(schedule.updated_at),
    }


def _paused(schedule: Schedule, org: Org) -> str:
    if schedule.pipeline not in org.paused_pipelines:
        return ""
    return f"its runs wait for {paused_text(schedule.pipeline, org.paused_pipelines[schedule.pipeline])}"


def next_firings(schedule: Schedule, count: int) -> list[NextView]:
    """Return the next `count` firings outside blackouts, fewer when the schedule ends; none of one that does not fire.

    One that has come already, and waits for its jitter or for the end of a run, is the first.
    """
    instants = list(islice(open_slots(CronInstants(), schedule), max(0, min(count, NEXT_MAX))))
    where = zone(schedule.timing.timezone)
    offsets = [instant.astimezone(where).strftime("%z") for instant in instants]
    return [
        {
            "at": to_text(instant),
            "starts_at": to_text(_starts_at(schedule, instant)),
            "local": instant.astimezone(where).strftime("%Y-%m-%d %H:%M"),
            "utc_offset": offset,
            "offset_changes": before != offset,
        }
        for instant, offset, before in zip(instants, offsets, [*offsets[:1], *offsets], strict=False)
    ]


def _starts_at(schedule: Schedule, instant: datetime) -> datetime:
    if instant == schedule.slot and schedule.due_at is not None:
        return schedule.due_at
    return instant + timedelta(seconds=jitter_of(schedule.org, schedule.pipeline, schedule.timing.jitter_s))


async def oldest_due(services: Services) -> datetime | None:
    """Return when the oldest firing that is not decided yet was due; None without one."""
    now = services.clock.now()
    page = await services.documents.query(
        "schedules", where=[Where("due_at", "<=", to_text(now))], order=[Order("due_at")], limit=1
    )
    return from_text(page.documents[0].data["due_at"]) if page.documents else None


async def queue_views(services: Services, orgs: Sequence[str] | None = None) -> list[QueueView]:
    """Return the queues in which runs wait, those of `orgs` or all, in the order of admission."""
    found: list[OrgQueue] = []
    if orgs is None:
        for asked in (Order("virtual_start"), Order("next_check_at")):
            where = [Where("ready", "==", True)] if asked.field == "virtual_start" else []
            page = await services.documents.query("org_queues", where=where, order=[asked], limit=_PAGE)
            found += [OrgQueue.from_data(document.data) for document in page.documents]
    else:
        documents = await services.documents.get_many([f"org_queues/{org}" for org in orgs])
        found = [OrgQueue.from_data(document.data) for document in documents if document is not None]
    return [await _queue_view(services, queue) for queue in found if queue.waiting_pools]


async def _queue_view(services: Services, queue: OrgQueue) -> QueueView:
    return {
        "org": queue.org,
        "waiting": await count_waiting(services, queue),
        "ready": queue.ready,
        "reason": queue.reason,
        "blocked_on": list(queue.blocked_on),
        "next_check_at": _text(queue.next_check_at),
        "virtual_start": queue.virtual_start,
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)
