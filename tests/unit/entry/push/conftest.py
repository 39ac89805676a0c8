"""A push endpoint in this process over local adapters: no socket, everything else as deployed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.entry.push.app import Check, Push, create_push
from convergence.entry.push.concurrency_limit import ConcurrencyLimit
from convergence.entry.push.deliveries import Subscribed
from convergence.ports.bus import Ack, Answer, Delivery
from tests.unit.engine.conftest import Engine

NOW = "2026-03-01T00:00:00Z"


def envelope(data: bytes = b"{}", *, attempt: int | None = None, **message: Any) -> dict[str, Any]:
    """What Pub/Sub posts."""
    inner = {"data": base64.b64encode(data).decode(), "messageId": "7", "message_id": "7", "publishTime": NOW} | message
    outer: dict[str, Any] = {"message": inner, "subscription": "projects/p/subscriptions/s"}
    return outer if attempt is None else outer | {"deliveryAttempt": attempt}


class Recorder:
    """A handler that answers as the test says."""

    def __init__(self) -> None:
        self.seen: list[Delivery] = []
        self.answer: Callable[[], Awaitable[Answer]] | None = None
        self._called = asyncio.Semaphore(0)

    async def called(self, times: int) -> None:
        """Return when it was called so often."""
        for _ in range(times):
            await self._called.acquire()

    async def __call__(self, delivery: Delivery) -> Answer:
        self.seen.append(delivery)
        self._called.release()
        return Ack() if self.answer is None else await self.answer()


@dataclass
class Endpoint:
    """An endpoint, its handler, and a client."""

    engine: Engine
    handler: Recorder = field(default_factory=Recorder)
    concurrency: ConcurrencyLimit = field(default_factory=lambda: ConcurrencyLimit(2))
    check: Check | None = None
    age_max_s: float | None = 3600.0
    asked_services: int = 0

    def _services(self) -> Any:
        self.asked_services += 1
        return self.engine.services

    def app(self) -> Any:
        push = Push(
            topics=frozenset({"step-ready"}),
            services=self._services,
            subscribed=lambda _: Subscribed(self.handler, self.age_max_s),
            check=self.check,
            concurrency=self.concurrency,
            limit_s=535.0,
        )
        return create_push(push)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app()), base_url="http://function")

    async def post(self, body: Any, *, topic: str = "step-ready", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client() as client:
            return await client.post(f"/push/{topic}", content=content, headers=headers)

    async def dead_letters(self) -> list[dict[str, Any]]:
        page = await self.engine.documents.query("dead_letters")
        return [document.data for document in page.documents]


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    return Endpoint(Engine(tmp_path))
