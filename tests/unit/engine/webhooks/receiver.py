"""A receiver of webhooks that answers as a test says, and remembers what came."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from convergence.engine.webhooks.change import WebhookChange, create_webhook
from tests.unit.engine.conftest import Engine

URL = "https://hooks.example.com/convergence?key=do-not-tell"


@dataclass
class Receiver:
    """Answers each request with the next of `answers`, then with the last one again: a status code or an error."""

    answers: list[Any] = field(default_factory=lambda: [204])
    requests: list[httpx.Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    during: Callable[[], Any] | None = None

    def client(self) -> httpx.AsyncClient:
        """Return a client whose requests end here."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        if self.during is not None:
            await self.during()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers=self.headers)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that came, in order."""
        return [orjson.loads(each.content) for each in self.requests]

    @property
    def delivery_ids(self) -> list[str]:
        """The deliveries that came, in order."""
        return [each.headers["convergence-delivery"] for each in self.requests]


async def listening(engine: Engine, **change: Any) -> tuple[Receiver, str, str]:
    """Create a webhook of acme whose requests end at a receiver; return it, the webhook's id and its secret."""
    receiver = Receiver()
    engine.http = receiver.client
    webhook, secret = await create_webhook(engine.services, "acme", WebhookChange(**({"url": URL} | change)))
    return receiver, webhook.webhook_id, secret


def digest(secret: str, request: httpx.Request) -> str:
    """Return what signs a request, computed as a receiver does."""
    stamp = request.headers["convergence-signature"].split(",")[0].removeprefix("t=")
    return hmac.new(secret.encode(), f"{stamp}.".encode() + request.content, hashlib.sha256).hexdigest()
