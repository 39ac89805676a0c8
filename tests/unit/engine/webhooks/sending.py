"""Deliveries of an engine to its webhooks: those that are stored, and time that passes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from convergence.domain.run import Run
from convergence.domain.webhook_delivery import WebhookDelivery
from convergence.engine.messages import WebhookReady, message
from convergence.engine.store import read_run
from convergence.engine.webhooks.send import hint_due, on_webhook_ready
from convergence.ports.bus import WEBHOOK_READY, Answer, Delivery
from tests.unit.engine.conftest import Engine

DAY_S = 86_400.0


async def deliveries(engine: Engine) -> list[WebhookDelivery]:
    page = await engine.documents.query("webhook_deliveries", limit=100)
    return sorted((WebhookDelivery.from_data(each.data) for each in page.documents), key=lambda each: each.created_at)


async def only(engine: Engine) -> WebhookDelivery:
    (found,) = await deliveries(engine)
    return found


async def handle(engine: Engine, delivery_id: str) -> Answer:
    hint = message(WebhookReady(delivery_id).encode(), kind="webhook")
    return await on_webhook_ready(engine.services, Delivery(hint, "m", 1, WEBHOOK_READY))


async def ended(engine: Engine, name: str = "p/d/n") -> Run:
    """Run a pipeline to its end, and let what the hints wake be done; without ticks."""
    run = await engine.start(name)
    await asyncio.sleep(2)
    stored = await read_run(engine.services, run.run_id)
    assert stored is not None
    assert stored.run.terminal
    return stored.run


async def passing(engine: Engine, seconds: float) -> None:
    """Let time pass, with a tick whenever a delivery is due."""
    until = engine.clock.now() + timedelta(seconds=seconds)
    while True:
        now = engine.clock.now()
        due = [each.next_attempt_at for each in await deliveries(engine) if each.next_attempt_at is not None]
        if not due or min(due) > until:
            await asyncio.sleep(max(0.0, (until - now).total_seconds()))
            return
        await asyncio.sleep(max(1.0, (min(due) - now).total_seconds()))
        await hint_due(engine.services)
        await asyncio.sleep(1)
