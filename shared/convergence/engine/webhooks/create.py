"""The deliveries of an event: created in the commit that ends its run, so that none is lost and none doubled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from convergence.domain.events import Event, run_event
from convergence.domain.run import Run
from convergence.domain.times import from_text
from convergence.domain.webhook import Webhooks
from convergence.domain.webhook_delivery import RETRIED_FOR, WebhookDelivery, delivery_id_of
from convergence.engine.services import Services
from convergence.ports.documents import Create
from convergence.tenants.webhooks import read_webhooks, read_webhooks_of

_TEXT_MAX: Final = 2_000  # characters of a reason or an error in an event that is sent
_TEXTS: Final = ("why", "error")


async def deliveries_of(services: Services, run: Run) -> list[WebhookDelivery]:
    """Return the deliveries of a run's latest move, for the commit that stores the move; one read."""
    return matching((await read_webhooks(services.documents, run.org)).webhooks, run, services.ids.new("t"))


async def deliveries_by_run(services: Services, runs: Sequence[Run]) -> dict[str, list[WebhookDelivery]]:
    """Return the deliveries of the latest moves of runs, by run id; one read for all, none without runs."""
    if not runs:
        return {}
    webhooks = await read_webhooks_of(services.documents, sorted({run.org for run in runs}))
    token = services.ids.new("t")
    return {run.run_id: matching(webhooks[run.org], run, token) if run.org in webhooks else [] for run in runs}


def of_runs(deliveries: Sequence[WebhookDelivery], runs: Sequence[Run]) -> list[WebhookDelivery]:
    """Return those deliveries that are about one of the runs."""
    names = {run.run_id for run in runs}
    return [each for each in deliveries if each.event_id.rpartition("#")[0] in names]


def matching(webhooks: Webhooks, run: Run, token: str) -> list[WebhookDelivery]:
    """Return the deliveries of a run's latest move to those webhooks of its org that want it."""
    subscribed = [each for each in webhooks.webhooks.values() if each.wants(f"run.{run.status}", run.pipeline)]
    if not subscribed:
        return []
    event = run_event(run)
    return [new_delivery(run.org, each.webhook_id, event, token) for each in subscribed]


def new_delivery(org: str, webhook_id: str, event: Event, token: str) -> WebhookDelivery:
    """Return the delivery of an event to a webhook, due at once."""
    at = from_text(event["time"])
    return WebhookDelivery(
        delivery_id=delivery_id_of(org, webhook_id, event["id"]),
        org=org,
        webhook_id=webhook_id,
        event_id=event["id"],
        event_type=event["type"],
        body=orjson.dumps(_bounded(event)).decode(),
        created_at=at,
        give_up_at=at + RETRIED_FOR,
        next_attempt_at=at,
        token=token,
    )


def creates(deliveries: Sequence[WebhookDelivery]) -> list[Create]:
    """Return the writes that store deliveries."""
    return [Create(each.path, each.to_data()) for each in deliveries]


def _bounded(event: Event) -> Event:
    """Return the event with its texts cut: an error may have 10,000 characters, and ten webhooks ten copies."""
    data: dict[str, Any] = dict(event["data"])
    for name in _TEXTS:
        text = data.get(name)
        if isinstance(text, str) and len(text) > _TEXT_MAX:
            data[name] = text[:_TEXT_MAX] + " …"
    return {**event, "data": data}
