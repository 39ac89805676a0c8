"""The page of data quality, and the billing periods, which are closed and opened again there."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.domain.billing_periods import TEXT_MAX, Change, PeriodKey, month_of
from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.runtime import At, Caller
from convergence.entry.ui.access import rights
from convergence.entry.ui.forms import Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.periods import period_page
from convergence.entry.ui.views.quality import quality_page
from convergence.errors import InvalidInput
from convergence.tenants.billing import BillingStore

router = APIRouter(route_class=PageRoute)
_PERIOD: Final = "/{org}/quality/period"
Name = Annotated[str, Query(max_length=TEXT_MAX)]


@router.get("/{org}/quality")
async def quality(request: Request, org: OrgName, at: At, _: Reader) -> Response:
    """Show verdicts of checks, quarantine, freshness and billing periods."""
    return await page(request, "quality.html", view=await quality_page(at.services, org), active="quality")


@router.get(_PERIOD)
async def period(
    request: Request, org: OrgName, at: At, caller: Reader, month: Name, issuer: Name, account: Name
) -> Response:
    """Show a billing period: what it is compared with, and who opened or closed it."""
    return await _page(request, at, caller, org, PeriodKey(month_of(month), issuer, account), "")


@router.post(_PERIOD)
async def move(request: Request, org: OrgName, at: At, caller: Admin, form: Signed) -> Response:
    """Close a billing period, or open it again for a reason."""
    key = PeriodKey(month_of(form.get("month", "")), form.get("issuer", ""), form.get("account", ""))
    status: Literal["Open", "Closed"] = "Closed" if form.get("status") == "Closed" else "Open"
    reason = form.get("reason", "").strip()
    await at.services.orgs.get(org)
    try:
        if len(reason) > TEXT_MAX:
            raise InvalidInput(f"a reason may have at most {TEXT_MAX} characters")
        change = Change(status=status, at=at.services.clock.now(), actor=caller.name, reason=reason)
        await BillingStore(at.services.documents).move(org, key, change)
    except InvalidInput as error:
        return await _page(request, at, caller, org, key, str(error))
    query = {"month": f"{key.month:%Y-%m}", "issuer": key.issuer, "account": key.account}
    return redirect(f"/ui/{org}/quality/period?{urlencode(query)}")


async def _page(request: Request, at: At, caller: Caller, org: str, key: PeriodKey, wrong: str) -> Response:
    view = await period_page(at.services, org, key)
    status = 422 if wrong else 200
    return await page(
        request, "period.html", status=status, view=view, wrong=wrong, active="quality", **rights(caller, org)
    )
