"""The webhooks of an org: add, switch off and on, rotate the secret, remove."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from convergence.domain.webhook import EVENTS
from convergence.engine.webhooks import change
from convergence.engine.webhooks.change import WebhookChange, WithSecret
from convergence.engine.webhooks.log import delivery_view, find_deliveries
from convergence.engine.webhooks.views import webhook_view
from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.models import RotateBody
from convergence.entry.api.runtime import At, Caller, Runtime
from convergence.entry.ui.access import rights
from convergence.entry.ui.forms import Form, Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.errors import InvalidInput, NotFound, QuotaExceeded

router = APIRouter(route_class=PageRoute)
_PAGE: Final = "/{org}/settings/webhooks"
_LATEST: Final = 10  # deliveries on the page; all are on a page of their own
_SWITCH: Final = {"enable": True, "disable": False}


@router.get(_PAGE)
async def webhooks(request: Request, org: OrgName, at: At, caller: Reader) -> Response:
    """Show the webhooks of an org, without their secrets, and the form for another."""
    await at.services.orgs.get(org)
    return await _page(request, at, caller, org, Form([("event", each) for each in EVENTS]), "")


@router.post(_PAGE)
async def create(request: Request, org: OrgName, at: At, caller: Admin, form: Signed) -> Response:
    """Add a webhook; its secret is on this page and nowhere else."""
    requested = WebhookChange(
        url=form.get("url", "").strip(),
        events=form.many("event"),
        pipelines=form.get("pipelines", "").strip() or "*",
        description=form.get("description", "").strip(),
    )
    try:
        made = await change.create_webhook(at.services, org, requested)
    except (InvalidInput, QuotaExceeded) as error:
        return await _page(request, at, caller, org, form, str(error))
    return await _secret(request, made)


@router.post(f"{_PAGE}/{{webhook_id}}/rotate")
async def rotate(request: Request, org: OrgName, webhook_id: str, at: At, _: Admin, _form: Signed) -> Response:
    """Add a secret; the one before signs beside it for a while."""
    overlap = timedelta(hours=RotateBody().overlap_hours)
    return await _secret(request, await change.rotate_secret(at.services, org, webhook_id, overlap=overlap))


@router.post(f"{_PAGE}/{{webhook_id}}/delete")
async def delete(request: Request, org: OrgName, webhook_id: str, at: At, _: Admin, form: Signed) -> Response:
    """Remove a webhook, after a page that asks again."""
    if form.get("sure") != "1":
        found = await change.require_webhook(at.services, org, webhook_id)
        what = f"the webhook {found.webhook_id} to {found.url}"
        return await page(request, "sure.html", active="settings", action=request.url.path, what=what)
    await change.delete_webhook(at.services, org, webhook_id)
    return redirect(f"/ui/{org}/settings/webhooks")


@router.post(f"{_PAGE}/{{webhook_id}}/{{switch}}")
async def switch(org: OrgName, webhook_id: str, switch: str, at: At, _: Admin, _form: Signed) -> Response:
    """Switch a webhook off or on."""
    if switch not in _SWITCH:
        raise NotFound(f"a webhook cannot be changed by {switch[:40]!r}")
    await change.update_webhook(at.services, org, webhook_id, WebhookChange(enabled=_SWITCH[switch]))
    return redirect(f"/ui/{org}/settings/webhooks#{webhook_id}")


async def _page(request: Request, at: Runtime, caller: Caller, org: str, form: Form, wrong: str) -> Response:
    sent = await find_deliveries(at.services, org, limit=_LATEST)
    whole = caller.may(org, "admin")
    known = [webhook_view(each, whole=whole) for each in await change.webhooks_of(at.services, org)]
    return await page(
        request,
        "webhooks.html",
        status=422 if wrong else 200,
        active="settings",
        webhooks=known,
        latest=[delivery_view(each) for each in sent.deliveries],
        events=EVENTS,
        chosen=form.many("event"),
        values={name: form.get(name, "") for name in ("url", "pipelines", "description")},
        wrong=wrong,
        **rights(caller, org),
    )


async def _secret(request: Request, made: WithSecret) -> Response:
    return await page(
        request, "new_secret.html", active="settings", webhook=webhook_view(made.webhook, whole=True), text=made.secret
    )
