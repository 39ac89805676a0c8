"""Rows of an org's schedules and of its queued runs for the central tables."""

from __future__ import annotations

from typing import Final

from convergence.domain.run import Run
from convergence.domain.schedule import ScheduleState
from convergence.domain.status import RunStatus
from convergence.engine.queue.waiting import reason_to_wait
from convergence.engine.schedules.store import schedules_of
from convergence.engine.services import Services
from convergence.errors import ConfigErrors, InvalidInput, NotFound
from convergence.ports.documents import Order, Where
from convergence.ports.warehouse import Row

_PAGE: Final = 500


async def scheduled_runs(services: Services, org: str) -> list[Row]:
    """Return one row for each schedule of an org; deleted ones are left out."""
    return [
        {
            "schedule_id": each.schedule_id,
            "org_slug": org,
            "provider": each.provider,
            "domain": _domain(services, each.pipeline),
            "pipeline": each.pipeline,
            "name": each.name,
            "credential_id": each.credential_id or None,
            "cron_expression": each.timing.cron,
            "timezone": each.timing.timezone,
            "is_enabled": each.state is ScheduleState.ENABLED,
            "state": each.state.value,
            "reason": each.reason or None,
            "last_run_at": each.last_fired_at,
            "next_run_at": each.due_at,
            "parameters": dict(each.parameters),
            "created_at": each.created_at,
            "updated_at": each.updated_at,
        }
        for each, _ in await schedules_of(services, org)
    ]


async def execution_queue(services: Services, org: str) -> list[Row]:
    """Return one row for each run of an org that waits, the oldest first, with what it waits for."""
    reasons: dict[tuple[str, ...], str] = {}
    rows: list[Row] = []
    for run in await _queued(services, org):
        place = run.queue
        if place is None:  # it was admitted while the pages were read
            continue
        same = run.pipeline, run.provider, run.credential_id, place.held_after  # wait for the same
        if same not in reasons:
            reasons[same] = await reason_to_wait(services, run)
        rows.append(
            {
                "run_id": run.run_id,
                "org_slug": org,
                "provider": run.provider,
                "domain": _domain(services, run.pipeline),
                "pipeline": run.pipeline,
                "credential_id": run.credential_id or None,
                "priority": place.priority.value,
                "trigger": run.trigger,
                "waits_for": reasons[same],
                "schedule_id": run.schedule_id or None,
                "backfill_id": run.backfill_id or None,
                "parent_run": run.parent_run or None,
                "due_at": run.fire_time,
                "queued_at": run.created_at,
                "gives_up_at": run.deadline_at,
                "parameters": dict(run.parameters),
            }
        )
    return rows[::-1]


async def _queued(services: Services, org: str) -> list[Run]:
    where = [Where("org", "==", org), Where("status", "==", RunStatus.QUEUED.value)]
    order, found, cursor = [Order("created_at", descending=True)], list[Run](), None
    while True:
        page = await services.documents.query("runs", where=where, order=order, limit=_PAGE, cursor=cursor)
        found += [Run.from_data(each.data) for each in page.documents]
        cursor = page.cursor
        if cursor is None:
            return found


def _domain(services: Services, pipeline: str) -> str | None:
    try:
        return services.catalog.get(pipeline).pipeline.domain
    except (NotFound, InvalidInput, ConfigErrors):  # its file is missing or invalid
        return None
