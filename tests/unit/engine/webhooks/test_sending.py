"""Events on their way to webhooks: created with their cause, sent, tried again for a day, never twice as documents."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from convergence.domain.times import to_text
from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.cancel import cancel
from convergence.engine.messages import WebhookReady, message
from convergence.engine.replay import replay
from convergence.engine.webhooks.change import (
    WebhookChange,
    create_webhook,
    delete_webhook,
    rotate_secret,
    update_webhook,
)
from convergence.engine.webhooks.send import on_webhook_ready, send_test
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.bus import WEBHOOK_READY, Ack, Delivery
from tests.unit.engine.conftest import Engine
from tests.unit.engine.webhooks.receiver import URL, digest, listening
from tests.unit.engine.webhooks.sending import deliveries, ended, only, passing
from tests.unit.engine.works import failing, one


def test_an_event_is_sent_as_it_is_published_and_signed_with_every_active_secret(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, webhook_id, first = await listening(engine)
        _, second = await rotate_secret(engine.services, "acme", webhook_id, overlap=timedelta(hours=1))
        run = await ended(engine)
        (request,) = receiver.requests
        found = await only(engine)
        (event,) = receiver.events
        assert (event["type"], event["org"], event["data"]["run_id"]) == ("run.completed", "acme", run.run_id)
        published = [each for each in engine.events if b'"run.completed"' in each]
        assert request.content in published
        assert request.headers["content-type"] == "application/cloudevents+json"
        assert receiver.delivery_ids == [found.delivery_id]
        signed = request.headers["convergence-signature"].split(",")
        assert signed[1:] == [f"v1={digest(second, request)}", f"v1={digest(first, request)}"]
        assert (found.status, found.attempts, found.log[0].status_code, found.event_id) == (
            DeliveryStatus.DELIVERED,
            1,
            204,
            event["id"],
        )
        assert found.next_attempt_at is None
        await asyncio.sleep(7200)
        run = await ended(engine)
        assert len(receiver.requests[-1].headers["convergence-signature"].split(",")) == 2, "the first one is over"
        assert len(receiver.requests) == 2, "what was delivered is not sent again"

    engine.run_scenario(scenario)


def test_a_webhook_gets_the_events_and_pipelines_that_it_asks_for(engine: Engine) -> None:
    engine.pipeline(one())
    engine.pipeline(one(), "q/d/n")
    engine.works["load_a"] = failing(StepFailed("no"))

    async def scenario() -> None:
        receiver, _, _ = await listening(engine, events=["run.failed"], pipelines="q/*")
        await ended(engine)
        assert not await deliveries(engine)
        await ended(engine, name="q/d/n")
        engine.works.clear()
        await ended(engine, name="q/d/n")
        (event,) = receiver.events
        assert (event["type"], event["data"]["pipeline"], "no" in event["data"]["error"]) == (
            "run.failed",
            "q/d/n",
            True,
        )

    engine.run_scenario(scenario)


def test_a_cancel_and_each_end_of_a_replayed_run_are_events_of_their_own(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        run = await engine.start()
        await cancel(engine.services, "acme", run.run_id)
        await cancel(engine.services, "acme", run.run_id)
        await asyncio.sleep(200)
        await replay(engine.services, "acme", run.run_id)
        await passing(engine, 60)
        assert [each["type"] for each in receiver.events] == ["run.cancelled", "run.completed"]
        assert len({each.event_id for each in await deliveries(engine)}) == 2

    engine.run_scenario(scenario)


def test_what_waits_for_a_webhook_that_is_switched_off_is_sent_when_it_is_on_again(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, webhook_id, _ = await listening(engine)
        receiver.answers = [500, 204]
        await ended(engine)
        await update_webhook(engine.services, "acme", webhook_id, WebhookChange(enabled=False))
        await ended(engine)
        await passing(engine, 1800)
        assert len(receiver.requests) == 1
        assert (await only(engine)).log[-1].error == "the webhook is switched off"
        await update_webhook(engine.services, "acme", webhook_id, WebhookChange(enabled=True))
        await passing(engine, 7200)
        assert (await only(engine)).status is DeliveryStatus.DELIVERED

    engine.run_scenario(scenario)


def test_a_deleted_webhook_ends_its_deliveries_and_touches_no_others(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, webhook_id, _ = await listening(engine)
        receiver.answers = [500, 500, 204]
        await create_webhook(engine.services, "acme", WebhookChange(url=URL))
        await ended(engine)
        await delete_webhook(engine.services, "acme", webhook_id)
        await passing(engine, 600)
        found = await deliveries(engine)
        deleted = [each for each in found if each.webhook_id == webhook_id]
        others = [each for each in found if each.webhook_id != webhook_id]
        assert [each.status for each in others] == [DeliveryStatus.DELIVERED]
        assert [(each.status, each.log[-1].error) for each in deleted] == [
            (DeliveryStatus.FAILED, "the webhook was deleted")
        ]

    engine.run_scenario(scenario)


def test_a_test_event_is_sent_once_also_to_a_webhook_that_is_switched_off(engine: Engine) -> None:
    async def scenario() -> None:
        receiver, webhook_id, secret = await listening(engine, enabled=False)
        found = await send_test(engine.services, "acme", webhook_id)
        assert (found.status, found.event_type, found.attempts) == (DeliveryStatus.DELIVERED, "webhook.test", 1)
        (request,) = receiver.requests
        assert request.headers["convergence-signature"].endswith(digest(secret, request))
        (event,) = receiver.events
        assert (event["org"], event["data"]) == ("acme", {"webhook_id": webhook_id})
        receiver.answers = [300]
        moved = await send_test(engine.services, "acme", webhook_id)
        assert moved.log[-1].error == "the receiver answers 300; redirects are not followed"
        receiver.answers = [500]
        again = await send_test(engine.services, "acme", webhook_id)
        assert (again.status, again.next_attempt_at) == (DeliveryStatus.FAILED, None)
        await passing(engine, 3600)
        assert len(receiver.requests) == 3

    engine.run_scenario(scenario)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"delivery_id": "../runs/r"}', b'{"delivery_id": 1}', b"[]"])
def test_a_message_that_is_not_ours_is_kept_as_a_dead_letter(engine: Engine, data: bytes) -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidInput):
            WebhookReady.decode(data)
        delivery = Delivery(message(data, kind="webhook"), "m", 1, WEBHOOK_READY)
        assert await on_webhook_ready(engine.services, delivery) == Ack()
        assert len((await engine.documents.query("dead_letters")).documents) == 1

    engine.run_scenario(scenario)


def test_an_event_with_a_long_error_is_cut(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("x" * 9_000))

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        await ended(engine)
        (event,) = receiver.events
        assert len(event["data"]["error"]) <= 2_002
        assert to_text((await only(engine)).created_at) == event["time"]

    engine.run_scenario(scenario)
