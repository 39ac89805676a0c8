"""Replays of many dead letters: what one would do, how far it is, pause, resume, cancel."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from typing_extensions import TypedDict

from convergence.domain.dead_letter_replay import FAILURES_MAX, PER_MINUTE_MAX
from convergence.engine.check_days import check_days
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.feed_replays import feed_replays
from convergence.engine.views.dead_letter_replays import ReplaysPlanView, ReplayView, plan_view, replay_view
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Force
from convergence.entry.api.problems import documented
from convergence.entry.api.routes.dead_letters import FilterBody, Reading, Running, check_exists
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=StrictRoute)
ReplayId = Annotated[str, Path(pattern=r"^dlr_[0-9a-z]{1,64}$", examples=["dlr_0f3a5c7e9b1d24680f3a"])]
DryRun = Annotated[bool, Query(description="Only count and estimate.")]
_CHANGES = {"pause": replays.pause, "resume": replays.resume, "cancel": replays.cancel_replay}


class Replays(TypedDict):
    """Replays of many dead letters, latest first."""

    replays: list[ReplayView]


class ReplaysBody(FilterBody):
    """Which open dead letters of runs, and how fast. Edited parameters need `pipeline`."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    latest: bool = False
    force: Force = False
    per_minute: int = Field(default=30, ge=1, le=PER_MINUTE_MAX)
    failures_max: int = Field(default=10, ge=1, le=FAILURES_MAX)


@router.post(
    "/{org}/replays",
    status_code=202,
    response_model=ReplayView,
    responses={200: {"model": ReplaysPlanView, "description": "What a dry run found."}, **documented(404)},
)
async def create(at: At, reach: Running, body: ReplaysBody, dry_run: DryRun = False) -> Json:
    """Replay the runs of all dead letters that a filter finds: one first, the rest when that one has completed."""
    await check_exists(at, reach.org)
    if not body.force and not dry_run:
        check_days(at.services, body.pipeline or "", body.parameters)
    request = replays.ReplaysRequest(
        criteria=body.criteria(reach.org, at.services.clock.now()),
        parameters=body.parameters,
        latest=body.latest,
        per_minute=body.per_minute,
        failures_max=body.failures_max,
        operator=reach.caller.kind == "root",
        created_by=reach.caller.name,
    )
    if dry_run:
        return Json(plan_view(await replays.plan(at.services, request)))
    made = await replays.create(at.services, request)
    return Json(replay_view(await feed_replays(at.services, made.replay_id) or made), status_code=202)


@router.get("/{org}/replays", response_model=Replays, responses=documented(404))
async def index(at: At, reach: Reading) -> Json:
    """List the replays of an org, or those over all orgs, latest first."""
    await check_exists(at, reach.org)
    return Json({"replays": [replay_view(each) for each in await replays.replays_of(at.services, reach.org)]})


@router.get("/{org}/replays/{replay_id}", response_model=ReplayView, responses=documented(404))
async def show(replay_id: ReplayId, at: At, reach: Reading) -> Json:
    """Return a replay of many and how far it is."""
    return Json(replay_view((await replays.require_replay(at.services, reach.org, replay_id)).replay))


@router.post("/{org}/replays/{replay_id}/{change}", response_model=ReplayView, responses=documented(404, 409))
async def change(replay_id: ReplayId, change: Literal["pause", "resume", "cancel"], at: At, reach: Running) -> Json:
    """Pause, resume or cancel it; replays under way go on."""
    return Json(replay_view(await _CHANGES[change](at.services, reach.org, replay_id)))
