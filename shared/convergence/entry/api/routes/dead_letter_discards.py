"""Discard many dead letters at once, after a dry run that counts them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from convergence.engine.dead_letters import act, discards
from convergence.engine.views.dead_letter_discards import (
    DiscardedView,
    DiscardsPlanView,
    discarded_view,
    discards_plan_view,
)
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.problems import documented
from convergence.entry.api.routes.dead_letters import FilterBody, Running, check_exists
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=StrictRoute)


class DiscardsBody(FilterBody):
    """Which open dead letters, messages included, and why nothing needs to be done about them."""

    reason: str = Field(min_length=1, max_length=act.REASON_MAX, examples=["the provider never had that month"])


@router.post("/{org}/discards", response_model=DiscardedView | DiscardsPlanView, responses=documented(404))
async def create(
    at: At,
    reach: Running,
    body: DiscardsBody,
    dry_run: Annotated[bool, Query(description="Only count.")] = False,
    cursor: Annotated[str | None, Query(max_length=2_000)] = None,
) -> Json:
    """Close all open dead letters that a filter finds; one call looks at 10,000. Interrupted, it is asked again."""
    await check_exists(at, reach.org)
    criteria = body.criteria(reach.org, at.services.clock.now())
    if dry_run:
        return Json(discards_plan_view(await discards.plan_discards(at.services, criteria, reason=body.reason)))
    done = await discards.discard_all(at.services, criteria, reason=body.reason, by=reach.caller.name, cursor=cursor)
    return Json(discarded_view(done))
