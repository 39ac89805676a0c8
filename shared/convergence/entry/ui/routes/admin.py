"""The operator's pages over all orgs. An org cannot be called `_all`."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from convergence.engine.dead_letters import act
from convergence.engine.doctor import examine
from convergence.engine.views.dead_letters import detail
from convergence.entry.api.runtime import At, Caller
from convergence.entry.ui.access import check_operator, visitor
from convergence.entry.ui.forms import Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.admin import admin_page
from convergence.entry.ui.views.all_dead_letters import all_dead_letters

router = APIRouter(route_class=PageRoute)
_LETTERS: Final = "/_all/dead-letters"


async def _operator(request: Request) -> Caller:
    caller = visitor(request)
    check_operator(caller)
    return caller


Operator = Annotated[Caller, Depends(_operator)]


@router.get("/admin")
async def admin(
    request: Request,
    at: At,
    _: Operator,
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
    q: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """Show orgs, the queue, the scheduler's lag and the system's health."""
    return await page(request, "admin.html", view=await admin_page(at, page=number, text=q), text=q)


@router.get("/_all/health")
async def health(request: Request, at: At, _: Operator) -> Response:
    """Examine every part of the installation, as `convergence doctor` does."""
    return await page(request, "health.html", findings=await examine(at.services))


@router.get(_LETTERS)
async def list_dead_letters(request: Request, at: At, _: Operator) -> Response:
    """Show the open dead letters of all orgs by cause, and messages that belong to none."""
    return await page(request, "all_dead_letters.html", view=await all_dead_letters(at.services))


@router.get(f"{_LETTERS}/letter/{{letter_id}}")
async def show_dead_letter(request: Request, letter_id: str, at: At, _: Operator) -> Response:
    """Show one dead letter of any org, or a message of none."""
    found = await detail(at.services, None, letter_id, payload=True)
    return await page(request, "letter.html", letter=found, here=f"/ui{_LETTERS}", can_run=True)


@router.post(f"{_LETTERS}/letter/{{letter_id}}/send")
async def send(letter_id: str, at: At, caller: Operator, _: Signed) -> Response:
    """Publish a message again."""
    await act.send_again(at.services, None, letter_id, by=caller.name)
    return redirect(f"/ui{_LETTERS}/letter/{letter_id}")


@router.post(f"{_LETTERS}/letter/{{letter_id}}/discard")
async def discard(letter_id: str, at: At, caller: Operator, form: Signed) -> Response:
    """Close one dead letter, with a reason."""
    await act.discard(at.services, None, letter_id, reason=form.get("reason", "").strip(), by=caller.name)
    return redirect(f"/ui{_LETTERS}")
