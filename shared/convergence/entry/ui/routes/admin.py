"""The operator's page over all orgs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.entry.api.runtime import At
from convergence.entry.ui.access import visitor
from convergence.entry.ui.pages import PageRoute, page
from convergence.entry.ui.views.admin import admin_page
from convergence.errors import Denied

router = APIRouter(route_class=PageRoute)


@router.get("/admin")
async def admin(
    request: Request,
    at: At,
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
    q: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """Show orgs, the queue, the scheduler's lag and the system's health."""
    if visitor(request).kind != "root":
        raise Denied("This page needs the operator's key.")
    return page(request, "admin.html", view=await admin_page(at, page=number, text=q), text=q)
