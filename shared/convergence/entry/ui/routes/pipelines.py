"""The page of an org's pipelines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.runtime import At
from convergence.entry.ui.access import rights
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.pipelines import pipelines_page

router = APIRouter(route_class=PageRoute)


@router.get("/{org}/")
async def start(org: OrgName, _: Reader) -> Response:
    """Send the visitor to the pipelines."""
    return redirect(f"/ui/{org}/pipelines")


@router.get("/{org}/pipelines")
async def pipelines(
    request: Request,
    org: OrgName,
    at: At,
    caller: Reader,
    tab: Annotated[str, Query(max_length=20)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    provider: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Show every pipeline with its last runs."""
    known = await at.pipelines.get()
    view = await pipelines_page(at.services, org, known, tab=tab, text=q, provider=provider)
    return await page(
        request, "pipelines.html", view=view, active="pipelines", text=q, provider=provider, **rights(caller, org)
    )
