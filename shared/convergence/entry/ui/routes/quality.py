"""The page of data quality."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.runtime import At
from convergence.entry.ui.pages import PageRoute, page
from convergence.entry.ui.views.quality import quality_page

router = APIRouter(route_class=PageRoute)


@router.get("/{org}/quality")
async def quality(request: Request, org: OrgName, at: At, _: Reader) -> Response:
    """Show verdicts of checks, quarantine, freshness and months compared with bills."""
    return page(request, "quality.html", view=await quality_page(at.services, org), active="quality")
