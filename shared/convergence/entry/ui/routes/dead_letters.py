"""Dead letters: replay one first, then the others; discard what needs nothing more."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.domain.run import Run
from convergence.engine.dead_letters import act
from convergence.engine.dead_letters.feed_replays import feed_replays
from convergence.engine.dead_letters.find import Cause, require_dead_letter
from convergence.engine.dead_letters.replays import ReplaysRequest, create, plan
from convergence.entry.api.auth import OrgName, Reader, Runner, check_run
from convergence.entry.api.runtime import At, Caller, Runtime
from convergence.entry.ui.access import rights
from convergence.entry.ui.forms import Form, Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.dead_letters import dead_letters_page, letters_of, of_cause
from convergence.errors import ConfigErrors, NotFound

router = APIRouter(route_class=PageRoute)
_PAGE: Final = "/{org}/dead-letters"


@router.get(_PAGE)
async def show(
    request: Request, org: OrgName, at: At, caller: Reader, pipeline: Annotated[str, Query(max_length=300)] = ""
) -> Response:
    """Show open dead letters by cause."""
    view = await dead_letters_page(at.services, org, pipeline or None)
    return page(
        request, "dead_letters.html", view=view, active="dead-letters", pipeline=pipeline, **rights(caller, org)
    )


@router.post(f"{_PAGE}/replay-one")
async def replay_one(org: OrgName, at: At, caller: Runner, form: Signed) -> Response:
    """Replay one dead letter, and show its run."""
    run = await _replay(at, caller, org, form.get("letter", ""))
    return redirect(f"/ui/{org}/runs/{run.run_id}")


@router.post(f"{_PAGE}/replay-all")
async def replay_all(request: Request, org: OrgName, at: At, caller: Runner, form: Signed) -> Response:
    """Count what a replay of a whole cause would do; start it when the visitor has seen the count."""
    cause = _cause(form)
    _check_pipeline(at, caller, org, cause.pipeline)
    asked = ReplaysRequest(wanted=of_cause(org, cause), operator=caller.kind == "root", created_by=caller.name)
    if form.get("sure") != "1":
        counted = await plan(at.services, asked)
        return page(request, "replay_all.html", active="dead-letters", cause=cause, plan=counted)
    made = await create(at.services, asked)
    await feed_replays(at.services, made.replay_id)
    return redirect(f"/ui/{org}/dead-letters")


@router.post(f"{_PAGE}/discard")
async def discard(request: Request, org: OrgName, at: At, caller: Runner, form: Signed) -> Response:
    """Close the dead letters of a cause, at most 50 at once, with a reason."""
    cause = _cause(form)
    letters = await letters_of(at.services, org, cause)
    reason = form.get("reason", "").strip()
    if not reason:
        return page(request, "discard.html", active="dead-letters", cause=cause, count=len(letters))
    for letter_id in letters:
        await act.discard(at.services, org, letter_id, reason=reason, by=caller.name)
    return redirect(f"/ui/{org}/dead-letters")


async def _replay(at: Runtime, caller: Caller, org: str, letter_id: str) -> Run:
    letter = await require_dead_letter(at.services, org, letter_id)
    _check_pipeline(at, caller, org, letter.pipeline)
    return await act.replay_dead_letter(at.services, org, letter_id)


def _cause(form: Form) -> Cause:
    return Cause(form.get("code", ""), form.get("pipeline", ""), form.get("step", ""))


def _check_pipeline(at: Runtime, caller: Caller, org: str, pipeline: str) -> None:
    with suppress(NotFound, ConfigErrors):  # its file is gone or broken: the pinned plan goes on without it
        check_run(caller, org, at.services.catalog.get(pipeline).pipeline)
