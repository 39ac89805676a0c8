"""The schedules of an org: when each fires next, what it did last; and its backfills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from convergence.config.cron import zone
from convergence.domain.run import Run
from convergence.domain.schedule import Schedule, ScheduleState
from convergence.domain.times import from_text
from convergence.engine.backfills.feed import backfills_of
from convergence.engine.backfills.views import BackfillView, backfill_view
from convergence.engine.schedules.store import require_schedule, schedules_of
from convergence.engine.schedules.views import ScheduleView, next_firings, schedule_view
from convergence.engine.services import Services
from convergence.entry.ui.views.pipelines import Firing, next_firing
from convergence.tenants.orgs import Org

NEXT: Final = 10
BACKFILLS_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One schedule. `twice` is set when the clock shows the next firing's time twice that day."""

    view: ScheduleView
    firing: Firing | None
    twice: bool
    last_status: str | None
    own: bool


@dataclass(frozen=True, slots=True)
class SchedulesPage:
    """The page."""

    rows: Sequence[ScheduleRow]
    backfills: Sequence[BackfillView]
    active: int
    paused: int


@dataclass(frozen=True, slots=True)
class Instant:
    """One firing to come, in the schedule's zone and in UTC."""

    local: str
    offset: str
    utc: str
    changes: bool


async def schedules_page(services: Services, org: str) -> SchedulesPage:
    """Return the page of an org, the next firing first. Raises `NotFound` for an org that does not exist."""
    await services.orgs.get(org)
    now = services.clock.now()
    found = [each.schedule for each in await schedules_of(services, org)]
    statuses = await _last_statuses(services, found)
    known = await services.orgs.get(org)
    rows = [_row(each, statuses.get(each.last_run), now, known) for each in found]
    rows.sort(key=lambda row: (row.firing is None, row.firing.at if row.firing else "", row.view["pipeline"]))
    backfills = [backfill_view(each) for each in await backfills_of(services, org, limit=BACKFILLS_MAX)]
    paused = sum(row.view["state"] == ScheduleState.PAUSED for row in rows)
    return SchedulesPage(rows, backfills, sum(row.firing is not None for row in rows), paused)


async def upcoming(services: Services, org: str, schedule_id: str) -> tuple[Schedule, list[Instant]]:
    """Return a schedule with its next firings. Raises `NotFound`."""
    schedule = (await require_schedule(services, org, schedule_id)).schedule
    firings = [
        Instant(
            each["local"], each["utc_offset"], from_text(each["at"]).strftime("%Y-%m-%d %H:%M"), each["offset_changes"]
        )
        for each in next_firings(schedule, NEXT)
    ]
    return schedule, firings


def _row(schedule: Schedule, last_status: str | None, now: datetime, org: Org) -> ScheduleRow:
    return ScheduleRow(
        view=schedule_view(schedule, now, org),
        firing=next_firing(schedule, now),
        twice=schedule.slot is not None and _comes_twice(schedule.slot, schedule.timing.timezone),
        last_status=last_status,
        own=not schedule.from_pipeline,
    )


def _comes_twice(at: datetime, name: str) -> bool:
    """Return whether the zone's clock shows this time a second time, an hour before or after."""
    local = at.astimezone(zone(name)).replace(tzinfo=None)
    return any((at + timedelta(hours=by)).astimezone(zone(name)).replace(tzinfo=None) == local for by in (-1, 1))


async def _last_statuses(services: Services, schedules: Sequence[Schedule]) -> dict[str, str]:
    """Return the shown status of each schedule's last run, in one read."""
    run_ids = sorted({each.last_run for each in schedules if each.last_run})
    documents = await services.documents.get_many([f"runs/{run_id}" for run_id in run_ids])
    runs: list[Run] = [services.cache.runs.of(each) for each in documents if each is not None]
    return {run.run_id: run.outcome for run in runs}
