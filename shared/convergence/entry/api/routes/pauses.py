"""Pause and resume pipelines of an org."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypedDict

from convergence.engine.pause import REASON_MAX, pause_pipeline, resume_pipeline
from convergence.entry.api.auth import Admin, OrgName, Reader, check_run
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Asked
from convergence.entry.api.problems import documented
from convergence.entry.api.routes.run import PipelinePath
from convergence.entry.api.runtime import At
from convergence.tenants.orgs import Org

router = APIRouter(prefix="/pipelines", tags=["act"], route_class=StrictRoute)


class PausedPipeline(TypedDict):
    """A pipeline of which no run starts, and why; the reason may be empty."""

    pipeline: str
    reason: str


class PausedPipelines(TypedDict):
    """The paused pipelines of an org, by name."""

    paused: list[PausedPipeline]


class PauseBody(Asked):
    """Why it is paused; shown to those who wait."""

    reason: str = Field(default="", max_length=REASON_MAX, examples=["the provider restates its figures"])


@router.get("/paused/{org}", response_model=PausedPipelines, responses=documented(404))
async def index(org: OrgName, at: At, _: Reader) -> Json:
    """List the paused pipelines of an org."""
    return Json(_paused(await at.services.orgs.get(org)))


@router.post("/pause/{org}/{path:path}", response_model=PausedPipelines, responses=documented(404, 409))
async def pause(org: OrgName, path: PipelinePath, at: At, caller: Admin, body: PauseBody | None = None) -> Json:
    """Let no run of a pipeline start; those that would, wait in the queue. Runs under way go on."""
    loaded = at.services.catalog.get("/".join(filter(None, path.split("/"))))
    check_run(caller, org, loaded.pipeline)
    return Json(_paused(await pause_pipeline(at.services, org, loaded.path, (body or PauseBody()).reason)))


@router.post("/resume/{org}/{path:path}", response_model=PausedPipelines, responses=documented(404, 409))
async def resume(org: OrgName, path: PipelinePath, at: At, _: Admin) -> Json:
    """Let the runs of a paused pipeline start again, those that waited first."""
    return Json(_paused(await resume_pipeline(at.services, org, path)))


def _paused(org: Org) -> PausedPipelines:
    return {"paused": [{"pipeline": name, "reason": reason} for name, reason in sorted(org.paused_pipelines.items())]}
