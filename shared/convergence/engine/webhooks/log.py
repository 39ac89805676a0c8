"""The delivery log: what was sent to an org's webhooks, what came of each attempt, what comes next."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from typing_extensions import TypedDict

from convergence.domain.times import to_text
from convergence.domain.webhook_delivery import Attempt, DeliveryStatus, WebhookDelivery, delivery_path
from convergence.engine.services import Services
from convergence.engine.webhooks.send import DELIVERIES
from convergence.errors import NotFound
from convergence.ports.documents import Order, Where


class AttemptView(TypedDict):
    """An attempt. `error` is empty for one that the receiver accepted."""

    at: str
    duration_ms: int
    status_code: int | None
    error: str


class DeliveryView(TypedDict):
    """A delivery and its latest attempt."""

    delivery_id: str
    webhook_id: str
    event_id: str
    event_type: str
    status: str
    attempts: int
    created_at: str
    ended_at: str | None
    next_attempt_at: str | None
    give_up_at: str
    last: AttemptView | None


class DeliveryDetail(DeliveryView):
    """A delivery with the latest twenty attempts, the first of them first, and the event that is sent."""

    log: list[AttemptView]
    event: dict[str, Any]


class DeliveryPage(NamedTuple):
    """Deliveries, the latest event first; `cursor` is None on the last page."""

    deliveries: list[WebhookDelivery]
    cursor: str | None


async def find_deliveries(
    services: Services,
    org: str,
    *,
    webhook_id: str | None = None,
    status: DeliveryStatus | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> DeliveryPage:
    """Return deliveries of an org, those of one webhook or status if it is named. Raises `InvalidInput`: the cursor."""
    where = [Where("org", "==", org)]
    where += [] if webhook_id is None else [Where("webhook_id", "==", webhook_id)]
    where += [] if status is None else [Where("status", "==", status.value)]
    order = [Order("created_at", descending=True)]
    page = await services.documents.query(DELIVERIES, where=where, order=order, limit=limit, cursor=cursor)
    return DeliveryPage([WebhookDelivery.from_data(each.data) for each in page.documents], page.cursor)


async def require_delivery(services: Services, org: str, delivery_id: str) -> WebhookDelivery:
    """Return a delivery of an org. Raises `NotFound`, also for another org's."""
    document = await services.documents.get(delivery_path(delivery_id)) if "/" not in delivery_id else None
    if document is None or document.data["org"] != org:
        raise NotFound(f"{org} has no delivery {delivery_id[:100]!r}; list them with: convergence webhooks deliveries")
    return WebhookDelivery.from_data(document.data)


def delivery_view(delivery: WebhookDelivery) -> DeliveryView:
    """Return what a list shows."""
    return {
        "delivery_id": delivery.delivery_id,
        "webhook_id": delivery.webhook_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "created_at": to_text(delivery.created_at),
        "ended_at": None if delivery.ended_at is None else to_text(delivery.ended_at),
        "next_attempt_at": None if delivery.next_attempt_at is None else to_text(delivery.next_attempt_at),
        "give_up_at": to_text(delivery.give_up_at),
        "last": _attempt_view(delivery.log[-1]) if delivery.log else None,
    }


def delivery_detail(delivery: WebhookDelivery) -> DeliveryDetail:
    """Return everything that is shown of a delivery."""
    log = [_attempt_view(each) for each in delivery.log]
    return {**delivery_view(delivery), "log": log, "event": orjson.loads(delivery.body)}


def _attempt_view(attempt: Attempt) -> AttemptView:
    return {
        "at": to_text(attempt.at),
        "duration_ms": attempt.duration_ms,
        "status_code": attempt.status_code,
        "error": attempt.error,
    }
