"""What was sent to the webhooks of an org, what came of each attempt, and a test call."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.webhooks import log
from convergence.engine.webhooks.send import send_test
from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.runtime import At
from convergence.entry.ui.access import rights
from convergence.entry.ui.forms import Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.errors import InvalidInput

router = APIRouter(route_class=PageRoute)
_HOOKS: Final = "/{org}/settings/webhooks"
_PAGE: Final = 50
Short = Annotated[str, Query(max_length=300)]


@router.get(f"{_HOOKS}/deliveries")
async def deliveries(
    request: Request,
    org: OrgName,
    at: At,
    _: Reader,
    webhook: Short = "",
    status: Short = "",
    cursor: Annotated[str | None, Query(max_length=2_000)] = None,
) -> Response:
    """Show what was sent, the latest event first, of one webhook or status if the address names it."""
    await at.services.orgs.get(org)
    if status and status not in set(DeliveryStatus):
        raise InvalidInput(f"no delivery has the status {status[:40]!r}")
    chosen = DeliveryStatus(status) if status else None
    found = await log.find_deliveries(
        at.services, org, webhook_id=webhook.strip() or None, status=chosen, limit=_PAGE, cursor=cursor
    )
    given = {name: value for name, value in (("webhook", webhook.strip()), ("status", status)) if value}
    return await page(
        request,
        "deliveries.html",
        active="settings",
        rows=[log.delivery_view(each) for each in found.deliveries],
        asked={"webhook": webhook.strip(), "status": status},
        statuses=list(DeliveryStatus),
        first=None if cursor is None else "?" + urlencode(given),
        older=None if found.cursor is None else "?" + urlencode({**given, "cursor": found.cursor}),
    )


@router.get(f"{_HOOKS}/deliveries/{{delivery_id}}")
async def delivery(request: Request, org: OrgName, delivery_id: str, at: At, caller: Reader) -> Response:
    """Show a delivery: each attempt with its outcome, when the next one is, and the event."""
    found = log.delivery_detail(await log.require_delivery(at.services, org, delivery_id))
    return await page(request, "delivery.html", active="settings", view=found, **rights(caller, org))


@router.post(f"{_HOOKS}/{{webhook_id}}/test")
async def test(org: OrgName, webhook_id: str, at: At, _: Admin, _form: Signed) -> Response:
    """Send a test event now, once, and show what came of it."""
    sent = await send_test(at.services, org, webhook_id)
    return redirect(f"/ui/{org}/settings/webhooks/deliveries/{sent.delivery_id}")
