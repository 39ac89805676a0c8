"""Send what is due: hints wake, the delivery's document decides, one owner at a time.

An attempt is claimed in its document before the request and recorded after it. A process that dies in between leaves a
claim that expires, and the delivery is sent again: at least once, under the same id.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
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
from convergence.errors import Conflict, InvalidInput, RateLimited
from convergence.ports.bus import Ack, Answer, Delivery, Retry
from convergence.ports.documents import Create, Order, Replace, Where
from convergence.tenants.webhooks import read_webhooks

logger = logging.getLogger(__name__)
DELIVERIES: Final = "webhook_deliveries"
_PAGE: Final = 200
_HINTED_S: Final = 60.0  # a hint is not repeated before: a slow receiver's deliveries would only queue up
_AT_ONCE: Final = 4  # attempts of one webhook in a process, so that a slow receiver leaves room for others
_AT_ONCE_ORG: Final = 8  # attempts of one org: a quarter of what a worker takes of a topic
_PAGES: Final = 10  # of due deliveries that one pass looks at
_HINTED_MAX: Final = 50  # hints at deliveries of one webhook in a pass; further ones are put off
_PUT_OFF_S: Final = 300.0
_PUT_OFF_MAX: Final = 200  # in a pass: each is a commit


async def on_webhook_ready(services: Services, delivery: Delivery) -> Answer:
    """Handle one message. Losing it costs time only: what is due is found by the tick."""
    try:
        ready = WebhookReady.decode(delivery.message.data)
    except InvalidInput as error:
        await keep_unreadable(services, delivery, str(error))
        return Ack()
    document = await services.documents.get(delivery_path(ready.delivery_id))
    hints = services.cache.webhook_hints
    found = None if document is None else WebhookDelivery.from_data(document.data)
    if document is None or found is None or not _is_due(found, services.clock.now()):
        hints.pop(ready.delivery_id, None)
        return Ack()
    at_work, org = services.cache.webhooks_at_work, f"org {found.org}"
    if at_work[found.webhook_id] >= _AT_ONCE or at_work[org] >= _AT_ONCE_ORG:
        return Retry("other deliveries of its webhook or org are under way", after_s=1.0)  # the hint stays: this is it
    hints.pop(ready.delivery_id, None)
    at_work.update((found.webhook_id, org))
    try:
        await _take(services, found, document.version)
    finally:
        for name in (found.webhook_id, org):
            at_work[name] -= 1
            if not at_work[name]:
                del at_work[name]
    return Ack()


async def hint_due(services: Services) -> int:
    """Hint at deliveries that are due, the oldest first; return at how many.

    Of a webhook with many of them some are put off, so that those of a slow receiver do not hide all others.
    """
    now = services.clock.now()
    hints = services.cache.webhook_hints
    for name in [name for name, until in hints.items() if until <= now]:
        del hints[name]
    due, hinted, late, cursor = Counter[str](), 0, 0, None
    for _ in range(_PAGES):
        page = await services.documents.query(
            DELIVERIES,
            where=[Where("next_attempt_at", "<=", to_text(now))],
            order=[Order("next_attempt_at")],
            limit=_PAGE,
            cursor=cursor,
        )
        fresh: list[str] = []
        for each in page.documents:
            found = WebhookDelivery.from_data(each.data)
            due[found.webhook_id] += 1
            if due[found.webhook_id] > _HINTED_MAX:
                late += 1
                if late <= _PUT_OFF_MAX:
                    await _put_off(services, found, each.version, now)
            elif found.delivery_id not in hints:
                fresh.append(found.delivery_id)
        await publish_webhooks_ready(services.bus, fresh)
        hints.update(dict.fromkeys(fresh, now + timedelta(seconds=_HINTED_S)))
        hinted, cursor = hinted + len(fresh), page.cursor
        if cursor is None:
            break
    return hinted


async def _put_off(services: Services, found: WebhookDelivery, version: int, now: datetime) -> None:
    token = services.ids.new("t")
    later = changed(found, next_attempt_at=now + timedelta(seconds=_PUT_OFF_S), token=token)
    try:
        await commit(services.documents, [Replace(found.path, version, later.to_data())], token)
    except Conflict:
        return  # an owner has it


async def send_test(services: Services, org: str, webhook_id: str) -> WebhookDelivery:
    """Send a `webhook.test` event now, once, also to one that is switched off; return what came of it.

    Raises:
        NotFound: the webhook.
        RateLimited: the org has requested as many as are allowed in a minute; each waits for a third party's server.
    """
    webhook = await require_webhook(services, org, webhook_id)
    taken = services.cache.webhook_tests.take(org, services.clock.now().timestamp())
    if not taken.allowed:
        message = f"{org} has sent {taken.limit} test events in a minute; wait {math.ceil(taken.retry_after_s)} seconds"
        raise RateLimited(message, retry_after_s=taken.retry_after_s)
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
        return after  # its claim had expired and another owner has it
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
