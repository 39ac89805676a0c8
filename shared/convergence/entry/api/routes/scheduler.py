"""Schedules of orgs, and the queue."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, Field, field_validator
from typing_extensions import TypedDict

from convergence.config.cron import check_cron, full_cron, zone
from convergence.domain.schedule import Missed, Overlap, Schedule
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.wake import wake_due
from convergence.engine.schedules import edit
from convergence.engine.schedules.change import ScheduleChange, add_schedule, change_schedule
from convergence.engine.schedules.store import require_schedule, schedules_of
from convergence.engine.schedules.views import (
    NEXT_MAX,
    NextView,
    QueueView,
    ScheduleView,
    next_firings,
    queue_views,
    schedule_view,
)
from convergence.entry.api.auth import Admin, KeyHolder, Operator, OrgName, Reader, check, check_run
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Accepted, Asked
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At, Caller, Runtime
from convergence.errors import ConfigErrors, Denied, InvalidInput, NotFound
from convergence.tenants.orgs import Org

router = APIRouter(prefix="/scheduler", tags=["scheduler"], route_class=StrictRoute)
ScheduleId = Annotated[str, Path(pattern=r"^sch_[0-9a-f]{20}$", examples=["sch_0f3a5c7e9b1d24680f3a"])]


class Schedules(TypedDict):
    """Schedules of an org, by pipeline."""

    schedules: list[ScheduleView]


class Overview(TypedDict):
    """Schedules and waiting runs."""

    schedules: list[ScheduleView]
    queue: list[QueueView]


class Firings(TypedDict):
    """The next firings of a schedule."""

    firings: list[NextView]


class Success(TypedDict):
    """The change is stored; `schedule` is what it is now."""

    success: bool
    schedule: ScheduleView


class Processed(TypedDict):
    """What a pass over the queue did: runs that started, and orgs that still wait."""

    admitted: int
    waiting: int


class TimingBody(Asked):
    """What may change about a schedule. Only the given fields change."""

    cron_expression: str | None = Field(default=None, max_length=200, examples=["0 6 * * *"])
    timezone: str | None = Field(default=None, max_length=100, examples=["Europe/Berlin"])
    is_enabled: bool | None = None
    parameters: dict[str, Any] | None = None
    jitter_minutes: int | None = Field(default=None, ge=0, le=1440)
    starting_deadline_minutes: int | None = Field(default=None, ge=1, le=525_600)
    missed: Literal["all", "last", "none"] | None = None
    overlap: Literal["skip", "queue", "cancel_running"] | None = None
    queue_max: int | None = Field(default=None, ge=1, le=100)
    paused_until: AwareDatetime | None = Field(default=None, strict=False, examples=["2026-12-27T00:00:00Z"])
    catch_up: bool = Field(default=False, description="With is_enabled: decide what was missed while it was paused.")

    @field_validator("cron_expression")
    @classmethod
    def _fires(cls, value: str | None) -> str | None:
        if value is None:
            return None
        wrong = check_cron(full_cron(value))
        if wrong:
            raise ValueError(wrong)
        return full_cron(value)

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str | None) -> str | None:
        try:
            zone(value or "UTC")
        except InvalidInput as error:
            raise ValueError(str(error)) from error
        return value

    def change(self) -> ScheduleChange:
        """Return the change that the body asks for."""
        return ScheduleChange(
            cron=self.cron_expression,
            timezone=self.timezone,
            jitter_minutes=self.jitter_minutes,
            starting_deadline_minutes=self.starting_deadline_minutes,
            missed=None if self.missed is None else Missed(self.missed),
            overlap=None if self.overlap is None else Overlap(self.overlap),
            queue_max=self.queue_max,
            parameters=self.parameters,
            enabled=self.is_enabled,
            paused_until=self.paused_until,
            catch_up=self.catch_up,
        )


class ScheduleBody(TimingBody):
    """A schedule of the org's own, beside those of the pipelines' files."""

    pipeline: str = Field(min_length=1, max_length=300, examples=["openai/cost/usage_cost"])
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,49}$", examples=["weekly"])
    cron_expression: str = Field(max_length=200, examples=["0 6 * * 1"])
    credential_id: str = Field(default="", max_length=200)


class TriggerBody(Asked):
    """The schedule to run now."""

    schedule_id: str = Field(pattern=r"^sch_[0-9a-f]{20}$")


@router.get("/queue", response_model=Overview, responses=documented(404))
async def overview(at: At, caller: KeyHolder, org: Annotated[str | None, Query(max_length=50)] = None) -> Json:
    """Return schedules and waiting runs: of the caller's org, for the operator of one org or of all that wait."""
    slug = caller.org if caller.kind == "org" and org is None else org
    if slug is not None:
        check(caller, slug, "read")
        known = await at.services.orgs.get(slug)
        return Json({"schedules": await _views(at, known), "queue": await queue_views(at.services, [slug])})
    return Json({"schedules": [], "queue": await queue_views(at.services)})


@router.post("/trigger", status_code=202, response_model=Accepted, responses=documented(404))
async def trigger(at: At, caller: KeyHolder, body: TriggerBody) -> Json:
    """Run what a schedule runs, now. Its own firings are unchanged."""
    org = await _org_of(at, caller, body.schedule_id, "run")
    run = await edit.trigger(at.services, org, body.schedule_id)
    return Json({"run_id": run.run_id, "status": "pending"}, status_code=202)


@router.post("/queue/process", response_model=Processed, responses=documented())
async def process(at: At, _: Operator) -> Json:
    """Look at every org whose limits may have opened, and start what fits."""
    await wake_due(at.services)
    done = await admission_pass(at.services)
    return Json({"admitted": done.runs, "waiting": len(await queue_views(at.services))})


@router.put("/schedule/{schedule_id}", response_model=Success, responses=documented(404, 409))
async def put(schedule_id: ScheduleId, at: At, caller: KeyHolder, body: TimingBody) -> Json:
    """Change a schedule; what the org changes stays when the pipeline's file changes."""
    org = await _org_of(at, caller, schedule_id, "admin")
    schedule = await change_schedule(at.services, org, schedule_id, body.change())
    return Json({"success": True, "schedule": await _view(at, schedule)})


@router.get("/schedules/{org}", response_model=Schedules, responses=documented(404))
async def index(org: OrgName, at: At, _: Reader) -> Json:
    """List the schedules of an org."""
    return Json({"schedules": await _views(at, await at.services.orgs.get(org))})


@router.post("/schedules/{org}", status_code=201, response_model=ScheduleView, responses=documented(404, 409))
async def create(org: OrgName, at: At, caller: Admin, body: ScheduleBody) -> Json:
    """Add a schedule of the org's own for a pipeline."""
    await at.services.orgs.get(org)
    check_run(caller, org, at.services.catalog.get(body.pipeline).pipeline)
    made = await add_schedule(
        at.services, org, body.pipeline, body.name, body.change(), credential_id=body.credential_id
    )
    return Json(await _view(at, made), status_code=201)


@router.get("/schedules/{org}/{schedule_id}", response_model=ScheduleView, responses=documented(404))
async def show(org: OrgName, schedule_id: ScheduleId, at: At, _: Reader) -> Json:
    """Return a schedule."""
    stored = await require_schedule(at.services, org, schedule_id)
    return Json(await _view(at, stored.schedule))


@router.delete("/schedules/{org}/{schedule_id}", response_model=Success, responses=documented(404, 409))
async def remove(org: OrgName, schedule_id: ScheduleId, at: At, _: Admin) -> Json:
    """Remove a schedule that the org added; those of pipelines' files are paused instead."""
    schedule = await edit.delete(at.services, org, schedule_id)
    return Json({"success": True, "schedule": await _view(at, schedule)})


@router.get("/schedules/{org}/{schedule_id}/next", response_model=Firings, responses=documented(404))
async def following(
    org: OrgName, schedule_id: ScheduleId, at: At, _: Reader, count: Annotated[int, Query(ge=1, le=NEXT_MAX)] = 5
) -> Json:
    """Return the next firings, in UTC and as the clock shows them in the schedule's zone."""
    stored = await require_schedule(at.services, org, schedule_id)
    return Json({"firings": next_firings(stored.schedule, count)})


async def _org_of(at: Runtime, caller: Caller, schedule_id: str, scope: str) -> str:
    """Return the org of a schedule that the caller may run and change.

    An org's key gets the same 403 for a schedule of another org and for one that does not exist. One of a pipeline that
    only the operator may run is the operator's to start and to change.
    """
    document = await at.services.documents.get(f"schedules/{schedule_id}")
    org = "" if document is None else str(document.data["org"])
    if caller.kind == "org" and caller.org != org:
        raise Denied(f"The org of this key has no schedule {schedule_id!r}.")
    if document is None:
        raise NotFound(f"there is no schedule {schedule_id!r}")
    check(caller, org, scope)
    with suppress(NotFound, ConfigErrors):  # its file is gone or broken: nothing starts either way
        check_run(caller, org, at.services.catalog.get(str(document.data["pipeline"])).pipeline)
    return org


async def _view(at: Runtime, schedule: Schedule) -> ScheduleView:
    return schedule_view(schedule, at.services.clock.now(), await at.services.orgs.get(schedule.org))


async def _views(at: Runtime, org: Org) -> list[ScheduleView]:
    now = at.services.clock.now()
    return [schedule_view(each.schedule, now, org) for each in await schedules_of(at.services, org.slug)]
