"""Dead letters: look at them, replay their runs, send messages again, discard. The operator sees all orgs as `_all`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import Field

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.status import RunStatus
from convergence.domain.step import Applied
from convergence.domain.times import duration
from convergence.engine.check_days import check_days
from convergence.engine.dead_letters import act
from convergence.engine.dead_letters.find import PAGE_MAX, Filter, require_dead_letter
from convergence.engine.views import dead_letters as views
from convergence.engine.views.dead_letters import DeadLetterDetail, DeadLetters, Summary
from convergence.entry.api.auth import check_known, check_org, check_run, identify
from convergence.entry.api.json import Json, StrictRoute, refuse_unread_body
from convergence.entry.api.models import Accepted, Asked, ReplayBody
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At, Caller
from convergence.errors import ConfigErrors, Denied, InvalidInput, NotFound

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=StrictRoute)
EVERY_ORG: Final = "_all"
AGE: Final = r"^[0-9]{1,7}[smhd]$"

Orgs = Annotated[str, Path(description="The org's slug; `_all` for the operator: those of every org.")]
LetterId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.~-]{0,400}$", examples=["run_5f0c2d9a.extract.0"])]
Age = Annotated[str | None, Query(pattern=AGE, description="A duration such as 90m, 24h or 7d.")]
Name = Annotated[str | None, Query(max_length=300)]
States = Literal["open", "replayed", "completed", "discarded", "sent"]


class Reach(NamedTuple):
    """The caller, and the org whose dead letters it may reach; None: those of all orgs."""

    caller: Caller
    org: str | None


def _needs(scope: str) -> Callable[[Request, Orgs, Caller], Awaitable[Reach]]:
    async def allowed(request: Request, org: Orgs, caller: Annotated[Caller, Depends(identify)]) -> Reach:
        if org != EVERY_ORG:
            check_org(caller, org, scope)
        else:
            check_known(caller)
            if caller.kind != "root":
                raise Denied("Only the operator's key reaches the dead letters of every org.")
        await refuse_unread_body(request)
        return Reach(caller, None if org == EVERY_ORG else org)

    return allowed


Reading = Annotated[Reach, Depends(_needs("read"))]
Running = Annotated[Reach, Depends(_needs("run"))]


async def _criteria(
    at: At,
    reach: Reading,
    pipeline: Name = None,
    step: Name = None,
    code: Name = None,
    state: Annotated[States | None, Query()] = None,
    older_than: Age = None,
    newer_than: Age = None,
) -> Filter:
    return Filter(
        org=reach.org,
        pipeline=pipeline,
        step_id=step,
        code=code,
        state=None if state is None else DeadLetterState(state),
        before=ago(at.services.clock.now(), older_than),
        after=ago(at.services.clock.now(), newer_than),
    )


Criteria = Annotated[Filter, Depends(_criteria)]


class FilterBody(Asked):
    """Which open dead letters."""

    pipeline: str | None = Field(default=None, max_length=300)
    step: str | None = Field(default=None, max_length=300)
    code: str | None = Field(default=None, max_length=300)
    older_than: str | None = Field(default=None, pattern=AGE)
    newer_than: str | None = Field(default=None, pattern=AGE)

    def criteria(self, org: str | None, now: datetime) -> Filter:
        """Return them as the engine knows them."""
        return Filter(
            org=org,
            pipeline=self.pipeline,
            step_id=self.step,
            code=self.code,
            state=DeadLetterState.OPEN,
            before=ago(now, self.older_than),
            after=ago(now, self.newer_than),
        )


class DiscardBody(Asked):
    """Why nothing needs to be done about it."""

    reason: str = Field(min_length=1, max_length=act.REASON_MAX, examples=["the provider never had that day"])


def ago(now: datetime, age: str | None) -> datetime | None:
    """Return the time that long before `now`. Raises `InvalidInput` when there is no such time."""
    if age is None:
        return None
    known = duration(age)
    try:
        return None if known is None else now - known
    except OverflowError as error:
        raise InvalidInput(f"{age} ago is before the year 1") from error


@router.get("/{org}", response_model=DeadLetters, responses=documented(404))
async def index(
    at: At,
    criteria: Criteria,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    cursor: Annotated[str | None, Query(max_length=2_000)] = None,
) -> Json:
    """List dead letters, latest first; a page with a cursor may hold fewer than `limit`."""
    await check_exists(at, criteria.org)
    return Json(await views.dead_letters(at.services, criteria, limit=limit, cursor=cursor))


@router.get("/{org}/summary", response_model=Summary, responses=documented(404))
async def summary(at: At, criteria: Criteria) -> Json:
    """Count dead letters by cause: error code, pipeline and step."""
    await check_exists(at, criteria.org)
    return Json(await views.summary(at.services, criteria))


@router.get("/{org}/{letter_id}", response_model=DeadLetterDetail, responses=documented(404))
async def show(letter_id: LetterId, at: At, reach: Reading) -> Json:
    """Return a dead letter: the reason, the first failing frame, its run, its parameters, a message's bytes."""
    operator = reach.caller.kind == "root"
    return Json(await views.detail(at.services, reach.org, letter_id, payload=operator))


@router.post("/{org}/{letter_id}/replay", status_code=202, response_model=Accepted, responses=documented(404))
async def replay(letter_id: LetterId, at: At, reach: Running, body: ReplayBody | None = None) -> Json:
    """Run the run of a dead letter again from where it failed, with edited parameters if any are given."""
    asked = body or ReplayBody()
    dead_letter = await require_dead_letter(at.services, reach.org, letter_id)
    with suppress(NotFound, ConfigErrors):  # its file is gone or broken: the pinned plan goes on without it
        check_run(reach.caller, dead_letter.org, at.services.catalog.get(dead_letter.pipeline).pipeline)
    if not asked.force:
        check_days(at.services, dead_letter.pipeline, asked.parameters or {})
    applied = {step_id: Applied(word) for step_id, word in asked.applied.items()}
    run = await act.replay_dead_letter(
        at.services, reach.org, letter_id, parameters=asked.parameters, latest=asked.latest, applied=applied
    )
    waits = run.status is RunStatus.QUEUED  # it could not follow another one, and starts now
    return Json({"run_id": run.run_id, "status": "queued" if waits else "pending"}, status_code=202)


@router.post("/{org}/{letter_id}/send", response_model=DeadLetterDetail, responses=documented(404, 409))
async def send(letter_id: LetterId, at: At, reach: Running) -> Json:
    """Publish a message again whose cause is gone; for the operator, since a message may say anything."""
    if reach.caller.kind != "root":
        raise Denied("Only the operator's key sends messages again.")
    await act.send_again(at.services, reach.org, letter_id, by=reach.caller.name)
    return Json(await views.detail(at.services, reach.org, letter_id, payload=True))


@router.post("/{org}/{letter_id}/discard", response_model=DeadLetterDetail, responses=documented(404, 409))
async def discard(letter_id: LetterId, at: At, reach: Running, body: DiscardBody) -> Json:
    """Close a dead letter without doing anything about it."""
    await act.discard(at.services, reach.org, letter_id, reason=body.reason, by=reach.caller.name)
    return Json(await views.detail(at.services, reach.org, letter_id, payload=reach.caller.kind == "root"))


async def check_exists(at: Any, org: str | None) -> None:
    """Raise `NotFound` for an org that does not exist; None: all orgs."""
    if org is not None:
        await at.services.orgs.get(org)
