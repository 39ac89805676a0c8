"""Pushes: the envelope on the wire, answers that acknowledge, tokens, subscriptions out of function.yaml, a soak."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest

from convergence.adapters.gcp.bus import PubSubBus
from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.ports.bus import DEAD_LETTER, STEP_READY, Ack, Answer, Delivery, Message, Retry, RetryPolicy
from tests.emulators.pubsub import PubSubServer
from tests.emulators.pubsub_broker import Fate
from tests.emulators.push_sink import Answering, PushSink, answering
from tests.emulators.topology import Admin, connect, functions

Scenario = Callable[[str, PubSubBus, Admin], Awaitable[None]]
NO_LETTERS = RetryPolicy(dead_letter_topic=None)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[PubSubServer]:
    jump = getattr(request, "param", True)
    made = PubSubServer(jump=jump, token=lambda audience, account: f"token-of-{account}-for-{audience}")
    yield made
    made.stop()


def run_scenario(server: PubSubServer, answer: Answering, scenario: Scenario, **admin: Any) -> None:
    async def whole() -> None:
        endpoint = server.start()
        bus = PubSubBus("p", clock=SystemClock(), ids=RandomIds(), endpoint=endpoint)
        made = Admin("p", endpoint=endpoint, **admin)
        async with PushSink(answer) as sink:
            await scenario(sink.url, bus, made)
            await asyncio.to_thread(server.idle)
        await bus.close()
        await made.close()

    asyncio.run(whole())


class Inbox:
    """Keeps what arrives; gives prepared answers, then 204."""

    def __init__(self, *answers: int) -> None:
        self.seen: list[tuple[str, Mapping[str, str], dict[str, Any]]] = []
        self._answers = list(answers)

    async def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        self.seen.append((path, headers, json.loads(body)))
        return self._answers.pop(0) if self._answers else 204


def test_the_envelope_is_the_documented_one(server: PubSubServer) -> None:
    inbox = Inbox()

    async def scenario(url: str, bus: PubSubBus, admin: Admin) -> None:
        await admin.subscribe("topic", NO_LETTERS, f"{url}/push/topic", name="sub")
        await bus.publish("topic", [Message(b"\x00hi", {"org": "acme"})])

    run_scenario(server, inbox, scenario)
    ((path, headers, envelope),) = inbox.seen
    message = envelope.pop("message")
    assert message.pop("publishTime") == message.pop("publish_time")
    assert message == {"data": "AGhp", "attributes": {"org": "acme"}, "messageId": "1", "message_id": "1"}
    assert envelope == {"subscription": "projects/p/subscriptions/sub"}, "attempts only with a dead-letter policy"
    assert (path, headers["content-type"]) == ("/push/topic", "application/json")
    assert "authorization" not in headers


def test_a_push_of_a_service_account_carries_its_token_for_the_endpoint(server: PubSubServer) -> None:
    inbox = Inbox()

    async def scenario(url: str, bus: PubSubBus, admin: Admin) -> None:
        await admin.subscribe("topic", NO_LETTERS, f"{url}/push/topic")
        await bus.publish("topic", [Message(b"1")])

    run_scenario(server, inbox, scenario, service_account="push@p")
    ((_, headers, _),) = inbox.seen
    assert headers["authorization"].startswith("Bearer token-of-push@p-for-http://127.0.0.1:")
    assert headers["authorization"].endswith("/push/topic")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 203, 301, 400, 404, 429, 500, 503])
def test_four_answers_and_102_acknowledge_and_every_other_delivers_again(server: PubSubServer, status: int) -> None:
    inbox = Inbox(status)

    async def scenario(url: str, bus: PubSubBus, admin: Admin) -> None:
        await admin.subscribe("topic", RetryPolicy(), url)
        await bus.publish("topic", [Message(b"1")])

    run_scenario(server, inbox, scenario)
    expected = [1] if status in {200, 201, 202, 204} else [1, 2]
    assert [envelope["deliveryAttempt"] for _, _, envelope in inbox.seen] == expected


@pytest.mark.parametrize("server", [False], indirect=True, ids=["no-jumps"])
def test_a_sink_that_is_away_gets_the_message_when_it_is_back(server: PubSubServer) -> None:
    # Time passes by hand: a clock that jumps over backoffs may use up all deliveries before the sink is back.
    inbox = Inbox()

    async def scenario(url: str, bus: PubSubBus, admin: Admin) -> None:
        await admin.subscribe("topic", RetryPolicy(), "http://127.0.0.1:9", name="sub")
        await bus.publish("topic", [Message(b"1")])
        await asyncio.to_thread(server.until, lambda counters: counters.nacked == 1)
        server.advance(RetryPolicy().backoff_max_s)
        await asyncio.to_thread(server.until, lambda counters: counters.nacked == 2)
        await admin.repoint("sub", url)
        server.advance(RetryPolicy().backoff_max_s)

    run_scenario(server, inbox, scenario)
    assert len(inbox.seen) == 1
    assert inbox.seen[0][2]["deliveryAttempt"] == 3


def test_each_function_hears_its_topics_by_the_rules_of_its_file(server: PubSubServer) -> None:
    inbox = Inbox()

    async def scenario(url: str, bus: PubSubBus, admin: Admin) -> None:
        for _ in range(2):  # what exists stays
            await connect(dict.fromkeys(functions(), url), project="p", endpoint=server.endpoint)
        found = await admin.subscriptions()
        step = found["step-step-ready"]
        assert (step.push_config.push_endpoint, step.ack_deadline_seconds) == (f"{url}/push/{STEP_READY}", 600)
        assert step.dead_letter_policy.dead_letter_topic == f"projects/p/topics/{DEAD_LETTER}"
        assert step.dead_letter_policy.max_delivery_attempts == 100
        assert len(found) == sum(len(each.triggers) for each in functions().values())
        for each in functions().values():
            for trigger in each.triggers:
                await bus.publish(trigger.topic, [Message(b"{}")])

    run_scenario(server, inbox, scenario)
    topics = [trigger.topic for each in functions().values() for trigger in each.triggers]
    assert sorted(path for path, _, _ in inbox.seen) == sorted(f"/push/{topic}" for topic in topics)


def test_soak_nothing_of_5000_messages_is_lost_whatever_is_refused_and_doubled(server: PubSubServer) -> None:
    chance, done = random.Random(4711), Counter[bytes]()
    refused = 0

    async def handler(delivery: Delivery) -> Answer:
        nonlocal refused
        if chance.random() < 0.1:
            refused += 1
            return Retry("no")
        done[delivery.message.data] += 1
        return Ack()

    async def scenario(url: str, bus: PubSubBus, admin: Admin) -> None:
        server.decide(lambda message: Fate(copies=2 if chance.random() < 0.05 else 1))
        await admin.subscribe(STEP_READY, RetryPolicy(), url)
        for first in range(0, 5000, 250):
            await bus.publish(STEP_READY, [Message(b"%d" % number) for number in range(first, first + 250)])

    run_scenario(server, answering(handler, STEP_READY), scenario)
    assert set(done) == {b"%d" % number for number in range(5000)}
    doubled = done.total() - 5000
    assert 150 < doubled < 350
    assert 400 < refused < 750
    counters = server.counters
    assert (counters.published, counters.publish_calls) == (5000, 20)
    assert (counters.acked, counters.nacked, counters.dead_lettered) == (done.total(), refused, 0)
    assert counters.delivered == done.total() + refused
