"""A receiver that is slow, and an org with many deliveries, leave room for others."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from convergence.domain.times import to_text
from convergence.domain.webhook_delivery import WebhookDelivery
from convergence.engine.messages import WebhookReady, message
from convergence.engine.webhooks.change import WebhookChange, create_webhook
from convergence.engine.webhooks.create import creates, new_delivery
from convergence.engine.webhooks.send import hint_due, on_webhook_ready
from convergence.ports.bus import WEBHOOK_READY, Ack, Delivery, Retry
from convergence.ports.documents import Where
from tests.unit.engine.conftest import Engine


def event(engine: Engine, org: str, number: int) -> dict[str, Any]:
    named = {"id": f"{org}-{number}", "type": "run.completed", "time": to_text(engine.clock.now())}
    return {"specversion": "1.0", "source": "s", "subject": "s", "org": org, "data": {}, **named}


async def waiting(engine: Engine, org: str, count: int, host: str) -> list[WebhookDelivery]:
    """Give the org a webhook with so many due deliveries, of which no hint was published."""
    webhook, _ = await create_webhook(engine.services, org, WebhookChange(url=f"https://{host}.example.com/x"))
    made = [new_delivery(org, webhook.webhook_id, event(engine, org, n), "t") for n in range(count)]
    for at in range(0, count, 50):
        await engine.documents.commit(creates(made[at : at + 50]))
    await asyncio.sleep(1)
    return made


def test_one_pass_finds_a_delivery_behind_many_of_a_slow_receiver(engine: Engine) -> None:
    async def scenario() -> None:
        await engine.org("beta")
        engine.bus.detach()
        await waiting(engine, "acme", 450, "slow")
        (light,) = await waiting(engine, "beta", 1, "fast")
        hinted: list[Any] = []
        engine.bus.tap(WEBHOOK_READY, hinted.extend)
        assert await hint_due(engine.services) == 51
        assert light.delivery_id in {WebhookReady.decode(each.data).delivery_id for each in hinted}
        due = [Where("next_attempt_at", "<=", to_text(engine.clock.now()))]
        assert await engine.documents.count("webhook_deliveries", where=due) == 451 - 200, "as many as a pass may move"
        await asyncio.sleep(61)
        assert await hint_due(engine.services) == 51, "those that were put off are not due again yet"
        await asyncio.sleep(300)
        assert await hint_due(engine.services) == 51
        page = await engine.documents.query("webhook_deliveries", limit=1_000)
        assert len(page.documents) == 451, "none is lost"

    engine.run_scenario(scenario)


def test_what_is_due_first_is_hinted_at_first(engine: Engine) -> None:
    async def scenario() -> None:
        engine.bus.detach()
        made = [one.delivery_id for n in range(8) for one in await waiting(engine, "acme", 1, f"host{n}")]
        hinted: list[Any] = []
        engine.bus.tap(WEBHOOK_READY, hinted.extend)
        assert await hint_due(engine.services) == 8
        assert [WebhookReady.decode(each.data).delivery_id for each in hinted] == made

    engine.run_scenario(scenario)


def test_an_org_has_a_quarter_of_the_attempts_whatever_the_number_of_its_webhooks(engine: Engine) -> None:
    async def scenario() -> None:
        engine.bus.detach()
        under_way, most = 0, 0

        async def answer(_: httpx.Request) -> httpx.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(5)
            under_way -= 1
            return httpx.Response(204)

        engine.http = lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer))
        made = [one for n in range(4) for one in await waiting(engine, "acme", 4, f"slow{n}")]
        assert await hint_due(engine.services) == 16
        hints = [message(WebhookReady(each.delivery_id).encode(), kind="webhook") for each in made]
        answers = await asyncio.gather(
            *(on_webhook_ready(engine.services, Delivery(hint, "m", 1, WEBHOOK_READY)) for hint in hints)
        )
        assert [type(each) for each in answers].count(Ack) == most == 8
        assert [type(each) for each in answers].count(Retry) == 8
        assert not engine.services.cache.webhooks_at_work
        assert await hint_due(engine.services) == 0, "a hint that waits for its turn is not published again"

    engine.run_scenario(scenario)
