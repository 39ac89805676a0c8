"""Receivers that fail, hang or ask for a pause: tried again for a day, never by two owners at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.cancel import cancel
from convergence.engine.messages import WebhookReady
from convergence.engine.retention.sweep import sweep
from convergence.engine.webhooks import send
from convergence.engine.webhooks.change import (
    WebhookChange,
    update_webhook,
)
from convergence.engine.webhooks.send import hint_due
from convergence.ports.bus import WEBHOOK_READY, Ack, Retry
from tests.unit.engine.conftest import Engine
from tests.unit.engine.webhooks.receiver import listening
from tests.unit.engine.webhooks.sending import DAY_S, deliveries, ended, handle, only, passing
from tests.unit.engine.works import one


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
