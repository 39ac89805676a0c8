"""What may be changed about a webhook, and how one request to it is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convergence.domain.addresses import DEFAULT_REACH
from convergence.domain.times import to_text
from convergence.engine.webhooks.attempt import attempt
from convergence.engine.webhooks.change import (
    WebhookChange,
    create_webhook,
    delete_webhook,
    require_webhook,
    update_webhook,
)
from convergence.engine.webhooks.create import new_delivery
from convergence.errors import InvalidInput, NotFound
from tests.unit.engine.conftest import Engine
from tests.unit.engine.webhooks.receiver import URL, listening


def test_an_unknown_event_is_refused_with_those_that_there_are(engine: Engine) -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidInput) as refused:
            await create_webhook(engine.services, "acme", WebhookChange(url=URL, events=["run.faild"]))
        assert "run.cancelled, run.completed" in str(refused.value)
        assert "Did you mean 'run.failed'" in str(refused.value)

    engine.run_scenario(scenario)


def test_a_webhook_that_is_not_there_is_named_with_one_like_it(engine: Engine) -> None:
    async def scenario() -> None:
        _, webhook_id, _ = await listening(engine)
        with pytest.raises(NotFound, match=f"Did you mean '{webhook_id}'"):
            await delete_webhook(engine.services, "acme", webhook_id[:-1])

    engine.run_scenario(scenario)


def test_a_webhook_may_point_to_this_machine_except_in_production(engine: Engine) -> None:
    async def scenario() -> None:
        here = WebhookChange(url="http://127.0.0.1:9/x")
        webhook, _ = await create_webhook(engine.services, "acme", here)
        production = replace(engine.services, env="prod")
        with pytest.raises(InvalidInput, match="must begin with https://"):
            await create_webhook(production, "acme", here)
        with pytest.raises(InvalidInput, match="must begin with https://"):
            await update_webhook(production, "acme", webhook.webhook_id, here)

    engine.run_scenario(scenario)


def test_a_request_is_bounded_in_where_it_may_go_and_an_answer_without_a_pause_asks_for_none(engine: Engine) -> None:
    async def scenario() -> None:
        receiver, webhook_id, _ = await listening(engine)
        receiver.answers = [503]
        now = to_text(engine.clock.now())
        event = {"id": "evt_1", "type": "run.failed", "time": now, "data": {}}
        delivery = new_delivery("acme", webhook_id, event, "t")
        outcome = await attempt(engine.services, await require_webhook(engine.services, "acme", webhook_id), delivery)
        assert (outcome.attempt.status_code, outcome.asked_s, outcome.final) == (503, 0.0, False)
        assert receiver.requests[0].extensions["reach"] == DEFAULT_REACH

    engine.run_scenario(scenario)
