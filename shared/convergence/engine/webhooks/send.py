"""Send what is due: hints wake, the delivery's document decides, one owner at a time.

An attempt is claimed in its document before the request and recorded after it. A process that dies in between leaves a
claim that runs out, and the delivery is sent again: at least once, under the same id.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from convergence.domain.records import changed
from convergence.domain.times import to_text
from convergence.domain.webhook import Webhook
from convergence.domain.webhook_delivery import (
    TEST_EVENT,
    DeliveryStatus,
    WebhookDelivery,
    delivery_path,
    pause_s,
)
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.messages import WebhookReady, publish_webhooks_ready
from convergence.engine.retention.expiry import expiry
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.engine.webhooks.attempt import attempt
from convergence.engine.webhooks.change import require_webhook
from convergence.engine.webhooks.create import new_delivery
from convergence.errors import Conflict, InvalidInput
from convergence.ports.bus import Ack, Answer, Delivery, Retry
from convergence.ports.documents import Create, Order, Replace, Where
from convergence.tenants.webhooks import read_webhooks

logger = logging.getLogger(__name__)
DELIVERIES: Final = "webhook_deliveries"
_PAGE: Final = 200
_HINTED_S: Final = 60.0  # a hint is not repeated before: a slow receiver's deliveries would only queue up
_AT_ONCE: Final = 4  # attempts of one webhook in a process, so that a slow receiver leaves room for others


async def on_webhook_ready(services: Services, delivery: Delivery) -> Answer:
    """Handle one message. Losing it costs time only: what is due is found by the tick."""
    try:
        ready = WebhookReady.decode(delivery.message.data)
    except InvalidInput as error:
        await keep_unreadable(services, delivery, str(error))
        return Ack()
    document = await services.documents.get(delivery_path(ready.delivery_id))
    services.cache.webhook_hints.pop(ready.delivery_id, None)
    if document is None:
        return Ack()
    found = WebhookDelivery.from_data(document.data)
    if not _is_due(found, services.clock.now()):
        return Ack()
    at_work = services.cache.webhooks_at_work
    if at_work[found.webhook_id] >= _AT_ONCE:
        return Retry("other deliveries of its webhook are under way", after_s=1.0)
    at_work[found.webhook_id] += 1
    try:
        await _take(services, found, document.version)
    finally:
        at_work[found.webhook_id] -= 1
        if not at_work[found.webhook_id]:
            del at_work[found.webhook_id]
    return Ack()


async def hint_due(services: Services) -> int:
    """Hint at deliveries that are due, the oldest first; return at how many."""
    now = services.clock.now()
    page = await services.documents.query(
        DELIVERIES, where=[Where("next_attempt_at", "<=", to_text(now))], order=[Order("next_attempt_at")], limit=_PAGE
    )
    if not page.documents:
        return 0
    hints = services.cache.webhook_hints
    for name in [name for name, until in hints.items() if until <= now]:
        del hints[name]
    names = [each.path.rpartition("/")[2] for each in page.documents]
    fresh = [name for name in names if name not in hints]
    await publish_webhooks_ready(services.bus, fresh)
    hints.update(dict.fromkeys(fresh, now + timedelta(seconds=_HINTED_S)))
    return len(fresh)


async def send_test(services: Services, org: str, webhook_id: str) -> WebhookDelivery:
    """Send a `webhook.test` event now, once, also to one that is switched off; return what came of it.

    Raises:
        NotFound: the webhook.
    """
    webhook = await require_webhook(services, org, webhook_id)
    now, token = services.clock.now(), services.ids.new("t")
    event = {
        "specversion": "1.0",
        "id": services.ids.new("evt"),
        "source": f"convergence/webhooks/{webhook_id}",
        "type": TEST_EVENT,
        "time": to_text(now),
        "subject": "",
        "org": org,
        "data": {"webhook_id": webhook_id},
    }
    claimed = changed(new_delivery(org, webhook_id, event, token).claimed(now, token), give_up_at=now)
    (version,) = await commit(services.documents, [Create(claimed.path, claimed.to_data())], token)
    return await _send(services, claimed, version, webhook)


async def _take(services: Services, found: WebhookDelivery, version: int) -> None:
    """Claim a delivery and send it, unless another owner came first."""
    token = services.ids.new("t")
    webhook = (await read_webhooks(services.documents, found.org)).webhooks.webhooks.get(found.webhook_id)
    claimed = found.claimed(services.clock.now(), token)
    try:
        (version,) = await commit(services.documents, [Replace(found.path, version, claimed.to_data())], token)
    except Conflict:
        return
    await _send(services, claimed, version, webhook)


async def _send(services: Services, claimed: WebhookDelivery, version: int, webhook: Webhook | None) -> WebhookDelivery:
    outcome = await attempt(services, webhook, claimed)
    wait_s = pause_s(claimed.attempts, services.ids.fraction(), outcome.asked_s)
    token = services.ids.new("t")
    after = claimed.after(outcome.attempt, wait_s=wait_s, final=outcome.final, token=token)
    if after.ended_at is not None:
        expire_at = await expiry(services, "webhook_deliveries", after.org, after.ended_at)
        after = changed(after, expire_at=expire_at)
    try:
        await commit(services.documents, [Replace(after.path, version, after.to_data())], token)
    except Conflict:
        return after  # its claim had run out and another owner has it
    _note(services, after)
    return after


def _note(services: Services, after: WebhookDelivery) -> None:
    retried = after.status is DeliveryStatus.PENDING
    services.cache.webhook_outcomes["retried" if retried else after.status.value] += 1
    if after.status is DeliveryStatus.FAILED:
        reason = after.log[-1].error
        logger.warning("delivery %s to webhook %s failed: %s", after.delivery_id, after.webhook_id, reason)


def _is_due(delivery: WebhookDelivery, now: datetime) -> bool:
    return delivery.next_attempt_at is not None and delivery.next_attempt_at <= now
