"""Webhooks of an org: where its events are sent, signed with the org's own secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import Field
from typing_extensions import TypedDict

from convergence.domain.webhook import EVENTS
from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.webhooks import change, log
from convergence.engine.webhooks.send import send_test
from convergence.engine.webhooks.target import URL_MAX
from convergence.engine.webhooks.views import NewWebhookView, WebhookView, new_webhook_view, webhook_view
from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Asked, RotateBody
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=StrictRoute)
WebhookId = Annotated[str, Path(pattern=r"^whk_[0-9a-z]{1,64}$", examples=["whk_0f3a5c7e9b1d24680f3a"])]
DeliveryId = Annotated[str, Path(pattern=r"^whd_[0-9a-f]{1,64}$", examples=["whd_0f3a5c7e9b1d24680f3a5c7e9b1d2468"])]
Status = Literal["pending", "delivered", "failed"]
Event = Annotated[str, Field(max_length=100, examples=["run.failed"])]
EventList = Annotated[list[Event], Field(min_length=1, max_length=len(EVENTS))]


class WebhookList(TypedDict):
    """The webhooks of an org, the oldest first."""

    webhooks: list[WebhookView]


class DeliveryList(TypedDict):
    """Deliveries, the latest event first."""

    deliveries: list[log.DeliveryView]
    cursor: str | None


class WebhookPatch(Asked):
    """Only the given fields change. `pipelines` is a pattern for paths, in which `*` stands for any text."""

    url: str | None = Field(default=None, max_length=URL_MAX, examples=["https://hooks.example.com/convergence"])
    events: EventList | None = None
    pipelines: str | None = Field(default=None, max_length=200, examples=["openai/*"])
    description: str | None = Field(default=None, max_length=change.DESCRIPTION_MAX)
    enabled: bool | None = None

    def change(self) -> change.WebhookChange:
        """Return it as the engine knows it."""
        return change.WebhookChange(
            url=self.url,
            events=self.events,
            pipelines=self.pipelines,
            description=self.description,
            enabled=self.enabled,
        )


class WebhookBody(WebhookPatch):
    """A new webhook: an address by https. Without `events` it gets all of them."""

    url: str = Field(max_length=URL_MAX, examples=["https://hooks.example.com/convergence"])


@router.get("/{org}", response_model=WebhookList, responses=documented(404))
async def index(org: OrgName, at: At, caller: Reader) -> Json:
    """List the webhooks of an org, without their secrets; whole addresses for `admin` only."""
    await at.services.orgs.get(org)
    whole = caller.may(org, "admin")
    return Json({"webhooks": [webhook_view(each, whole=whole) for each in await change.webhooks_of(at.services, org)]})


@router.post("/{org}", status_code=201, response_model=NewWebhookView, responses=documented(404, 409))
async def create(org: OrgName, at: At, _: Admin, body: WebhookBody) -> Json:
    """Create a webhook; its secret is shown in this answer and nowhere else."""
    made = await change.create_webhook(at.services, org, body.change())
    return Json(new_webhook_view(*made), status_code=201)


@router.get("/{org}/deliveries", response_model=DeliveryList, responses=documented(404))
async def deliveries(
    org: OrgName,
    at: At,
    _: Reader,
    webhook: Annotated[str | None, Query(pattern=r"^whk_[0-9a-z]{1,64}$")] = None,
    status: Annotated[Status | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=2_000)] = None,
) -> Json:
    """List what was sent to the webhooks of an org, the latest event first, and what came of it."""
    await at.services.orgs.get(org)
    asked = None if status is None else DeliveryStatus(status)
    page = await log.find_deliveries(at.services, org, webhook_id=webhook, status=asked, limit=limit, cursor=cursor)
    return Json({"deliveries": [log.delivery_view(each) for each in page.deliveries], "cursor": page.cursor})


@router.api_route("/{org}/deliveries", methods=["PATCH", "DELETE"], include_in_schema=False)
async def refuse_change_of_deliveries() -> None:
    """Answer as for any method that a path does not have: the path of a webhook would take these otherwise."""
    raise HTTPException(405, headers={"Allow": "GET"})


@router.get("/{org}/deliveries/{delivery_id}", response_model=log.DeliveryDetail, responses=documented(404))
async def delivery(org: OrgName, delivery_id: DeliveryId, at: At, _: Reader) -> Json:
    """Return a delivery: its attempts with their outcomes, and the event that is sent."""
    return Json(log.delivery_detail(await log.require_delivery(at.services, org, delivery_id)))


@router.get("/{org}/{webhook_id}", response_model=WebhookView, responses=documented(404))
async def show(org: OrgName, webhook_id: WebhookId, at: At, caller: Reader) -> Json:
    """Return a webhook; its whole address for `admin` only."""
    found = await change.require_webhook(at.services, org, webhook_id)
    return Json(webhook_view(found, whole=caller.may(org, "admin")))


@router.patch("/{org}/{webhook_id}", response_model=WebhookView, responses=documented(404, 409))
async def update(org: OrgName, webhook_id: WebhookId, at: At, _: Admin, body: WebhookPatch) -> Json:
    """Change a webhook, or switch it off and on."""
    return Json(webhook_view(await change.update_webhook(at.services, org, webhook_id, body.change()), whole=True))


@router.delete("/{org}/{webhook_id}", status_code=204, responses=documented(404, 409))
async def delete(org: OrgName, webhook_id: WebhookId, at: At, _: Admin) -> None:
    """Remove a webhook; what was not delivered by now never is."""
    await change.delete_webhook(at.services, org, webhook_id)


@router.post("/{org}/{webhook_id}/rotate", response_model=NewWebhookView, responses=documented(404, 409))
async def rotate(org: OrgName, webhook_id: WebhookId, at: At, _: Admin, body: RotateBody | None = None) -> Json:
    """Add a secret, shown in this answer only; the one before signs beside it for the overlap."""
    overlap = timedelta(hours=(body or RotateBody()).overlap_hours)
    return Json(new_webhook_view(*await change.rotate_secret(at.services, org, webhook_id, overlap=overlap)))


@router.post("/{org}/{webhook_id}/test", response_model=log.DeliveryDetail, responses=documented(404))
async def test(org: OrgName, webhook_id: WebhookId, at: At, _: Admin) -> Json:
    """Send a `webhook.test` event now, once; the answer says what came of it. An org may ask six times a minute."""
    return Json(log.delivery_detail(await send_test(at.services, org, webhook_id)))
