"""Backfills: past days of a pipeline, slice by slice."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from typing_extensions import TypedDict

from convergence.domain.backfill import CONCURRENCY_MAX, SLICES_MAX, Mode, Step
from convergence.engine.backfills.check_slices import check_slices
from convergence.engine.backfills.create import BackfillRequest, create_backfill, plan_backfill
from convergence.engine.backfills.feed import backfills_of, cancel_backfill, feed, pause, require_backfill, resume
from convergence.engine.backfills.views import BackfillView, PlanOfBackfill, backfill_view, plan_of_backfill
from convergence.engine.check_days import check_days
from convergence.entry.api.auth import OrgName, Reader, Runner, check_run
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Asked, Force
from convergence.entry.api.problems import documented
from convergence.entry.api.routes.run import PipelinePath
from convergence.entry.api.runtime import At
from convergence.errors import ConfigErrors, NotFound

router = APIRouter(prefix="/pipelines", tags=["backfill"], route_class=StrictRoute)
BackfillId = Annotated[str, Path(pattern=r"^bf_[0-9a-z]{1,64}$", examples=["bf_0f3a5c7e9b1d24680f3a"])]
DryRun = Annotated[bool, Query(description="Only list the slices and what would happen to them.")]
_CHANGES = {"pause": pause, "resume": resume, "cancel": cancel_backfill}


class Backfills(TypedDict):
    """Backfills of an org, latest first."""

    backfills: list[BackfillView]


class BackfillBody(Asked):
    """The days, both included, and how they are run."""

    start: date = Field(alias="from", strict=False, examples=["2026-01-01"])
    end: date = Field(alias="to", strict=False, examples=["2026-03-31"])
    step: Literal["day", "week", "month"] = "day"
    mode: Literal["missing", "failed", "all"] = "missing"
    order: Literal["newest", "oldest"] = "newest"
    concurrency: int = Field(default=1, ge=1, le=CONCURRENCY_MAX)
    failures_max: int = Field(default=10, ge=1, le=SLICES_MAX)
    credential_id: str = Field(default="", max_length=200)
    parameters: dict[str, Any] = Field(default_factory=dict)
    force: Force = False


@router.post(
    "/backfill/{org}/{path:path}",
    status_code=202,
    response_model=BackfillView,
    responses={200: {"model": PlanOfBackfill, "description": "The plan of a dry run."}, **documented(404)},
)
async def create(
    org: OrgName, path: PipelinePath, at: At, caller: Runner, body: BackfillBody, dry_run: DryRun = False
) -> Json:
    """Run a pipeline for each slice of a range of days."""
    loaded = at.services.catalog.get("/".join(filter(None, path.split("/"))))
    check_run(caller, org, loaded.pipeline)
    if not body.force and not dry_run:
        check_days(at.services, loaded.path, {"start_date": body.start.isoformat(), "end_date": body.end.isoformat()})
        check_slices(at.services, loaded.path, Step(body.step))
    request = BackfillRequest(
        org=org,
        pipeline=loaded.path,
        start=body.start,
        end=body.end,
        step=Step(body.step),
        mode=Mode(body.mode),
        newest_first=body.order == "newest",
        concurrency=body.concurrency,
        failures_max=body.failures_max,
        credential_id=body.credential_id,
        parameters=body.parameters,
    )
    if dry_run:
        return Json(plan_of_backfill(await plan_backfill(at.services, request)))
    backfill = await create_backfill(at.services, request)
    started = await feed(at.services, backfill.backfill_id)
    return Json(backfill_view(started or backfill), status_code=202)


@router.get("/backfills/{org}", response_model=Backfills, responses=documented(404))
async def index(org: OrgName, at: At, _: Reader) -> Json:
    """List the backfills of an org, latest first."""
    return Json({"backfills": [backfill_view(each) for each in await backfills_of(at.services, org)]})


@router.get("/backfills/{org}/{backfill_id}", response_model=BackfillView, responses=documented(404))
async def show(org: OrgName, backfill_id: BackfillId, at: At, _: Reader) -> Json:
    """Return a backfill and how far it is."""
    return Json(backfill_view((await require_backfill(at.services, org, backfill_id)).backfill))


@router.post("/backfills/{org}/{backfill_id}/{change}", response_model=BackfillView, responses=documented(404, 409))
async def change(
    org: OrgName, backfill_id: BackfillId, change: Literal["pause", "resume", "cancel"], at: At, caller: Runner
) -> Json:
    """Pause, resume or cancel a backfill; cancelling ends its runs too."""
    if change == "resume":
        pipeline = (await require_backfill(at.services, org, backfill_id)).backfill.pipeline
        with suppress(NotFound, ConfigErrors):  # its file is gone or broken: it stops again
            check_run(caller, org, at.services.catalog.get(pipeline).pipeline)
    return Json(backfill_view(await _CHANGES[change](at.services, org, backfill_id)))
