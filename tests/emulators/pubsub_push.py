"""Deliveries by HTTP POST, as a push subscription makes them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.emulators.pubsub_broker import Broker, Held, Subscription
from tests.emulators.pubsub_http import Poster

ACKS: Final = frozenset({102, 200, 201, 202, 204})  # documentation: "Push subscriptions", receive messages
Token = Callable[[str, str], str]
"""(audience, service account) → the bearer token of one delivery."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a subscription pushes, and as whom."""

    url: str
    service_account: str = ""
    audience: str = ""


def envelope(subscription: Subscription, held: Held) -> dict[str, Any]:
    """Return the body of a delivery; `deliveryAttempt` is there only with a dead-letter policy."""
    message, sent = held.message, held.message.at.isoformat().replace("+00:00", "Z")
    body: dict[str, Any] = {
        "message": {
            "data": base64.b64encode(message.data).decode(),
            "attributes": dict(message.attributes),
            "messageId": message.message_id,
            "message_id": message.message_id,
            "publishTime": sent,
            "publish_time": sent,
        },
        "subscription": subscription.name,
    }
    if subscription.rules.dead_letter_topic:
        body["deliveryAttempt"] = held.deliveries
    return body


class Pusher:
    """Pushes the messages of each subscription that has a target; `outstanding_max` of each are out at once."""

    def __init__(self, broker: Broker, *, outstanding_max: int = 100, token: Token | None = None) -> None:
        self.outstanding_max = outstanding_max
        self._broker = broker
        self._token = token
        self._poster = Poster()
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._posts: set[asyncio.Task[None]] = set()

    def point(self, subscription: Subscription, target: Target | None) -> None:
        """Push to `target` from now on; None stops."""
        running = self._loops.pop(subscription.name, None)
        if running is not None:
            running.cancel()
        subscription.rules.push = target is not None
        if target is not None:
            self._loops[subscription.name] = asyncio.create_task(self._run(subscription, target))
            subscription.arrived.set()

    async def close(self) -> None:
        """Stop; deliveries under way are cut off."""
        tasks = [*self._loops.values(), *self._posts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._poster.close()

    async def _run(self, subscription: Subscription, target: Target) -> None:
        out: set[asyncio.Task[None]] = set()

        def done(task: asyncio.Task[None]) -> None:
            out.discard(task)
            self._posts.discard(task)
            subscription.arrived.set()

        while not subscription.deleted:
            for ack_id, held in self._broker.take(subscription, self.outstanding_max - len(out)):
                task = asyncio.create_task(self._deliver(subscription, target, ack_id, held))
                out.add(task)
                self._posts.add(task)
                task.add_done_callback(done)
            subscription.arrived.clear()
            await subscription.arrived.wait()

    async def _deliver(self, subscription: Subscription, target: Target, ack_id: str, held: Held) -> None:
        status = await self._post(subscription, target, held)
        if status in ACKS:
            self._broker.ack(subscription, ack_id)
        else:
            self._broker.extend(subscription, ack_id, 0)

    async def _post(self, subscription: Subscription, target: Target, held: Held) -> int:
        headers = {"Content-Type": "application/json", "User-Agent": "APIs-Google"}
        if self._token is not None and target.service_account:
            headers["Authorization"] = f"Bearer {self._token(target.audience or target.url, target.service_account)}"
        body = json.dumps(envelope(subscription, held)).encode()
        return await self._poster.post(target.url, body, headers, timeout_s=subscription.rules.ack_deadline_s)
