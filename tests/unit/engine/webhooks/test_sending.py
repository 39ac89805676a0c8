"""Events on their way to webhooks: created with their cause, sent, tried again for a day, never twice as documents."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.domain.webhook_delivery import DeliveryStatus, WebhookDelivery
from convergence.engine.cancel import cancel
from convergence.engine.messages import WebhookReady, message
from convergence.engine.replay import replay
from convergence.engine.retention.sweep import sweep
from convergence.engine.store import read_run
from convergence.engine.webhooks import send
from convergence.engine.webhooks.change import (
    WebhookChange,
    create_webhook,
    delete_webhook,
    rotate_secret,
    update_webhook,
)
from convergence.engine.webhooks.send import hint_due, on_webhook_ready, send_test
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.bus import WEBHOOK_READY, Ack, Answer, Delivery, Retry
from tests.unit.engine.conftest import Engine
from tests.unit.engine.webhooks.receiver import URL, digest, listening
from tests.unit.engine.works import failing, one

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


def test_a_receiver_that_fails_is_tried_for_a_day_with_growing_pauses(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, webhook_id, _ = await listening(engine)
        receiver.answers = [500]
        await ended(engine)
        began = (await only(engine)).created_at
        await passing(engine, DAY_S - 60)
        assert (await only(engine)).status is DeliveryStatus.PENDING
        await passing(engine, 300)
        found = await only(engine)
        assert (found.status, found.log[-1].error) == (DeliveryStatus.FAILED, "the receiver answers 500")
        assert found.attempts == len(receiver.requests)
        assert 15 <= found.attempts <= 30
        assert timedelta(0) <= found.log[-1].at - (began + timedelta(days=1)) < timedelta(minutes=2), "the last try"
        pauses = [(b.at - a.at).total_seconds() for a, b in zip(found.log, found.log[1:], strict=False)]
        assert max(pauses) <= 2 * 3600 * 1.25 + 60
        assert len({each.content for each in receiver.requests}) == 1, "the same event, byte for byte"
        assert len(set(receiver.delivery_ids)) == 1
        assert len({each.headers["convergence-signature"] for each in receiver.requests}) == found.attempts
        webhook = (await update_webhook(engine.services, "acme", webhook_id, WebhookChange())).enabled
        assert webhook, "a webhook that fails is not switched off silently"
        assert engine.services.cache.webhook_outcomes == {"failed": 1, "retried": found.attempts - 1}
        assert found.expire_at is not None
        await asyncio.sleep(31 * DAY_S)
        await sweep(engine.services)
        assert not await deliveries(engine)

    engine.run_scenario(scenario)


def test_a_receiver_that_comes_back_gets_the_event(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        receiver.answers = [httpx.ConnectError("refused by 10.1.2.3"), httpx.ReadTimeout("late"), 302, 503, 200]
        await ended(engine)
        await passing(engine, 3600)
        found = await only(engine)
        assert found.status is DeliveryStatus.DELIVERED
        assert [each.error for each in found.log] == [
            "the receiver cannot be reached (ConnectError)",
            "no connection within 5 or no answer within 10 seconds",
            "the receiver answers 302; redirects are not followed",
            "the receiver answers 503",
            "",
        ]
        assert "do-not-tell" not in str(found.to_data())

    engine.run_scenario(scenario)


def test_a_receiver_that_hangs_is_left_before_its_claim_ends(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        receiver.during = lambda: asyncio.sleep(3600)
        await engine.start()
        await asyncio.sleep(23)
        found = await only(engine)
        assert [each.error for each in found.log] == ["no answer within 20 seconds"]

    engine.run_scenario(scenario)


def test_a_receiver_may_ask_for_a_longer_pause(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        receiver.answers, receiver.headers = [429], {"retry-after": "600"}
        await ended(engine)
        found = await only(engine)
        assert found.next_attempt_at is not None
        assert 595 <= (found.next_attempt_at - found.log[0].at).total_seconds() <= 605

    engine.run_scenario(scenario)


def test_a_process_that_dies_between_request_and_record_sends_again_under_the_same_id(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pipeline(one())

    class Died(BaseException):
        pass

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        engine.bus.detach()
        run = await engine.start()
        await cancel(engine.services, "acme", run.run_id)
        found = await only(engine)

        async def dies() -> None:
            raise Died

        receiver.during = dies
        with pytest.raises(Died):
            await handle(engine, found.delivery_id)
        claimed = await only(engine)
        assert (claimed.status, claimed.attempts, claimed.log) == (DeliveryStatus.PENDING, 1, ())
        receiver.during = None
        await handle(engine, found.delivery_id)
        assert len(receiver.requests) == 1, "the claim holds"
        await asyncio.sleep(61)
        await handle(engine, found.delivery_id)
        assert receiver.delivery_ids == [found.delivery_id] * 2
        assert (await only(engine)).status is DeliveryStatus.DELIVERED

    engine.run_scenario(scenario)


def test_two_owners_do_not_send_at_once_and_a_late_one_records_nothing(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        engine.bus.detach()
        run = await engine.start()
        await cancel(engine.services, "acme", run.run_id)
        found = await only(engine)
        receiver.during = lambda: asyncio.sleep(5)
        await asyncio.gather(*(handle(engine, found.delivery_id) for _ in range(3)))
        assert len(receiver.requests) == 1
        assert (await only(engine)).attempts == 1

    engine.run_scenario(scenario)


def test_a_lost_hint_is_found_by_its_time_and_given_once_a_minute(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await listening(engine)
        engine.bus.detach()
        run = await engine.start()
        await cancel(engine.services, "acme", run.run_id)
        hinted: list[Any] = []
        engine.bus.tap(WEBHOOK_READY, hinted.extend)
        assert [await hint_due(engine.services) for _ in range(3)] == [1, 0, 0]
        await asyncio.sleep(61)
        assert await hint_due(engine.services) == 1
        assert {WebhookReady.decode(each.data).delivery_id for each in hinted} == {(await only(engine)).delivery_id}
        await handle(engine, (await only(engine)).delivery_id)
        assert await hint_due(engine.services) == 0

    engine.run_scenario(scenario)


def test_a_slow_receiver_leaves_room_for_others(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        receiver, _, _ = await listening(engine)
        engine.bus.detach()
        for _ in range(2):
            await cancel(engine.services, "acme", (await engine.start()).run_id)
        monkeypatch.setattr(send, "_AT_ONCE", 1)
        receiver.during = lambda: asyncio.sleep(5)
        names = [each.delivery_id for each in await deliveries(engine)]
        answers = await asyncio.gather(*(handle(engine, name) for name in names))
        assert {type(each) for each in answers} == {Ack, Retry}
        assert len(receiver.requests) == 1
        assert not engine.services.cache.webhooks_at_work

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
