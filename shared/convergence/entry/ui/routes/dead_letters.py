"""Dead letters: replay one first, then the others; discard what needs nothing more."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.domain.run import Run
from convergence.engine.check_days import doubt_of
from convergence.engine.dead_letters import act, replays
from convergence.engine.dead_letters.feed_replays import feed_replays
from convergence.engine.dead_letters.find import Cause, require_dead_letter
from convergence.engine.dead_letters.replays import ReplaysRequest, create, plan
from convergence.engine.views.dead_letters import dead_letters, detail
from convergence.entry.api.auth import OrgName, Reader, Runner, check_run
from convergence.entry.api.runtime import At, Caller, Runtime
from convergence.entry.ui.access import check_operator, rights
from convergence.entry.ui.forms import Form, Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.dead_letters import PAGE, dead_letters_of, dead_letters_page, of_cause
from convergence.entry.ui.views.payloads import payload_page
from convergence.errors import ConfigErrors, Conflict, NotFound

router = APIRouter(route_class=PageRoute)
_PAGE: Final = "/{org}/dead-letters"
_CHANGES: Final = {"pause": replays.pause, "resume": replays.resume, "cancel": replays.cancel_replay}
Name = Annotated[str, Query(max_length=300)]


@router.get(_PAGE)
async def show(
    request: Request, org: OrgName, at: At, caller: Reader, pipeline: Annotated[str, Query(max_length=300)] = ""
) -> Response:
    """Show open dead letters by cause."""
    view = await dead_letters_page(at.services, org, pipeline or None)
    return await page(
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
    asked = ReplaysRequest(criteria=of_cause(org, cause), operator=caller.kind == "root", created_by=caller.name)
    if form.get("sure") != "1":
        counted = await plan(at.services, asked)
        return await page(request, "replay_all.html", active="dead-letters", cause=cause, plan=counted)
    made = await create(at.services, asked)
    await feed_replays(at.services, made.replay_id)
    return redirect(f"/ui/{org}/dead-letters")


@router.post(f"{_PAGE}/discard")
async def discard(request: Request, org: OrgName, at: At, caller: Runner, form: Signed) -> Response:
    """Close the dead letters of a cause, at most 50 at once, with a reason."""
    cause = _cause(form)
    found = await dead_letters_of(at.services, org, cause)
    reason = form.get("reason", "").strip()
    if not reason:
        return await page(request, "discard.html", active="dead-letters", cause=cause, count=len(found))
    for letter_id in found:
        await act.discard(at.services, org, letter_id, reason=reason, by=caller.name)
    return redirect(f"/ui/{org}/dead-letters")


@router.get(f"{_PAGE}/cause")
async def cause_letters(
    request: Request,
    org: OrgName,
    at: At,
    caller: Reader,
    code: Name,
    pipeline: Name = "",
    step: Name = "",
    cursor: Annotated[str | None, Query(max_length=2_000)] = None,
) -> Response:
    """Show all open dead letters of a cause, fifty a page."""
    await at.services.orgs.get(org)
    cause = Cause(code, pipeline, step)
    found = await dead_letters(at.services, of_cause(org, cause), limit=PAGE, cursor=cursor)
    query = {"code": code, "pipeline": pipeline, "step": step, "cursor": found["cursor"] or ""}
    older = None if found["cursor"] is None else "?" + urlencode(query)
    return await page(
        request, "letters.html", active="dead-letters", cause=cause, letters=found["dead_letters"], older=older,
        **rights(caller, org),
    )  # fmt: skip


@router.get(f"{_PAGE}/letter/{{letter_id}}")
async def show_dead_letter(request: Request, org: OrgName, letter_id: str, at: At, caller: Reader) -> Response:
    """Show one dead letter: its reason, the failing frame, its parameters."""
    found = await detail(at.services, org, letter_id, payload=caller.kind == "root")
    return await page(
        request, "letter.html", active="dead-letters", letter=found, here=f"/ui/{org}/dead-letters",
        **rights(caller, org),
    )  # fmt: skip


@router.post(f"{_PAGE}/letter/{{letter_id}}/send")
async def send(org: OrgName, letter_id: str, at: At, caller: Runner, _: Signed) -> Response:
    """Publish a message again; for the operator, since a message may say anything."""
    check_operator(caller)
    await act.send_again(at.services, org, letter_id, by=caller.name)
    return redirect(f"/ui/{org}/dead-letters/letter/{letter_id}")


@router.post(f"{_PAGE}/letter/{{letter_id}}/discard")
async def discard_one(org: OrgName, letter_id: str, at: At, caller: Runner, form: Signed) -> Response:
    """Close one dead letter, with a reason."""
    await act.discard(at.services, org, letter_id, reason=form.get("reason", "").strip(), by=caller.name)
    return redirect(f"/ui/{org}/dead-letters")


@router.get(f"{_PAGE}/payload")
async def payload(
    request: Request, org: OrgName, at: At, _: Runner, code: Name, pipeline: Name, step: Name = ""
) -> Response:
    """Show the editor of a cause's payload."""
    view = await payload_page(at.services, org, Cause(code, pipeline, step), None)
    return await page(request, "payload.html", active="dead-letters", view=view, doubt="")


@router.post(f"{_PAGE}/payload")
async def replay_edited(request: Request, org: OrgName, at: At, caller: Runner, form: Signed) -> Response:
    """Check an edited payload; replay the dead letter that the page named with it, or all of the cause, one first."""
    cause = _cause(form)
    _check_pipeline(at, caller, org, cause.pipeline)
    view = await payload_page(at.services, org, cause, form.get("payload", ""))
    if view.wrong or form.get("act") not in ("one", "all"):
        status = 422 if view.wrong else 200
        return await page(request, "payload.html", status=status, active="dead-letters", view=view, doubt="")
    doubt = "" if "force" in form else doubt_of(at.services, cause.pipeline, view.changes)
    if doubt:
        return await page(request, "payload.html", status=422, active="dead-letters", view=view, doubt=doubt)
    if form["act"] == "one":
        if form.get("letter") != view.letter_id:  # whose pipeline was checked, and whose parameters were compared
            raise Conflict("The page now shows a different dead letter of this cause: check it again.")
        run = await act.replay_dead_letter(at.services, org, view.letter_id, parameters=dict(view.changes) or None)
        return redirect(f"/ui/{org}/runs/{run.run_id}")
    asked = ReplaysRequest(
        criteria=of_cause(org, cause),
        parameters=view.changes,
        operator=caller.kind == "root",
        created_by=caller.name,
    )
    await feed_replays(at.services, (await create(at.services, asked)).replay_id)
    return redirect(f"/ui/{org}/dead-letters")


@router.post(f"{_PAGE}/replays/{{replay_id}}/{{change}}")
async def change_replay(org: OrgName, replay_id: str, change: str, at: At, _: Runner, _form: Signed) -> Response:
    """Pause, resume or cancel a replay of many."""
    if change not in _CHANGES:
        raise NotFound(f"a replay cannot be changed by {change[:40]!r}")
    await _CHANGES[change](at.services, org, replay_id)
    return redirect(f"/ui/{org}/dead-letters")


async def _replay(at: Runtime, caller: Caller, org: str, letter_id: str) -> Run:
    dead_letter = await require_dead_letter(at.services, org, letter_id)
    _check_pipeline(at, caller, org, dead_letter.pipeline)
    return await act.replay_dead_letter(at.services, org, letter_id)


def _cause(form: Form) -> Cause:
    return Cause(form.get("code", ""), form.get("pipeline", ""), form.get("step", ""))


def _check_pipeline(at: Runtime, caller: Caller, org: str, pipeline: str) -> None:
    with suppress(NotFound, ConfigErrors):  # its file is gone or broken: the pinned plan goes on without it
        check_run(caller, org, at.services.catalog.get(pipeline).pipeline)
