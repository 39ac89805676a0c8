"""Receivers of webhooks that refuse, hang, lose answers, or are gone; they remember what came."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from convergence.domain.webhook_delivery import LEASE_S
from tests.simulation.faults import Process

if TYPE_CHECKING:
    from tests.simulation.webhooks.world import WebhookWorld

GONE = "gone"  # the path of a receiver that accepts nothing


class Receivers:
    """All receivers of a world. `events`: by delivery, the ids of the events that came and were taken."""

    def __init__(self, world: WebhookWorld) -> None:
        self._world = world
        self.events: defaultdict[str, list[str]] = defaultdict(list)
        self._attempts: Counter[tuple[str, str]] = Counter()

    def client(self, process: Process) -> httpx.AsyncClient:
        """Return the client of a machine."""

        async def answer(request: httpx.Request) -> httpx.Response:
            await process.point()
            answered = await self._answer(request)
            await process.point()
            return answered

        return httpx.AsyncClient(transport=httpx.MockTransport(answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        world, rng = self._world, self._world.rng
        delivery, attempt = (request.headers[f"convergence-{name}"] for name in ("delivery", "attempt"))
        self._attempts[delivery, attempt] += 1
        if self._attempts[delivery, attempt] > 1:
            raise world.violated(f"attempt {attempt} of {delivery} was made twice: two senders had it")
        drawn = rng.random() if world.hostile else 1.0
        if request.url.path.endswith(GONE):
            return httpx.Response(rng.choice([404, 500, 503]))
        if drawn < 0.15:
            raise httpx.ConnectError("refused")
        if drawn < 0.3:
            return httpx.Response(500)
        if drawn < 0.35:
            await world.clock.sleep(rng.uniform(0, LEASE_S))
        body: dict[str, Any] = orjson.loads(await request.aread())
        self.events[delivery].append(body["id"])
        if drawn < 0.5:
            raise httpx.ReadError("the answer was lost")
        return httpx.Response(204)
