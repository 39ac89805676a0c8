"""PubSubBus: one awaited RPC, limits before the wire, faults of the wire, errors that say what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from convergence.adapters.gcp.bus import MESSAGES_MAX, PubSubBus
from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.errors import CloudSetup, InvalidInput, PermissionMissing, Transient
from convergence.ports.bus import Message
from tests.emulators.pubsub import PubSubServer
from tests.emulators.topology import Admin

Scenario = Callable[[PubSubBus, PubSubServer], Awaitable[Any]]


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    made = PubSubServer(jump=True)
    yield made
    made.stop()


def run_scenario(server: PubSubServer, scenario: Scenario, *, timeout_s: float = 30.0) -> None:
    async def whole() -> None:
        endpoint = server.start()
        admin = Admin("p", prefix="dev-", endpoint=endpoint)
        await admin.topic("topic")
        await admin.close()
        bus = PubSubBus(
            "p", prefix="dev-", clock=SystemClock(), ids=RandomIds(), endpoint=endpoint, timeout_s=timeout_s
        )
        await scenario(bus, server)
        await bus.close()

    asyncio.run(whole())


def test_a_publish_is_one_call_and_nothing_is_none(server: PubSubServer) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        await bus.publish("topic", [Message(b"%d" % number) for number in range(MESSAGES_MAX)])
        await bus.publish("topic", [])
        assert (server.counters.published, server.server.calls["Publish"]) == (MESSAGES_MAX, 1)

    run_scenario(server, scenario)


@pytest.mark.parametrize(
    ("count", "size", "calls"),
    [(1001, 1, 2), (2000, 1, 2), (11, 1_000_000, 2), (2, 9_900_000, 2), (10, 999_000, 1)],
)
def test_a_publish_is_split_where_a_limit_of_pubsub_asks_for_it(
    server: PubSubServer, count: int, size: int, calls: int
) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        await bus.publish("topic", [Message(b"x" * size)] * count)
        assert (server.counters.published, server.server.calls["Publish"]) == (count, calls)

    run_scenario(server, scenario)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (Message(b""), "neither data nor attributes"),
        (Message(b"x" * 10_000_000), "put the data into a document"),
        (Message(b"x", {f"k{number}": "" for number in range(101)}), "101 attributes, at most 100"),
        (Message(b"x", {"é" * 129: ""}), "1 to 256 bytes"),
        (Message(b"x", {"": "v"}), "1 to 256 bytes"),
        (Message(b"x", {"googleish": "v"}), "must not begin with goog"),
        (Message(b"x", {"pipeline": "ü" * 513}), "'pipeline' has 1026 bytes, at most 1024"),
    ],
)
def test_a_message_over_a_limit_is_final_and_none_of_its_call_is_sent(
    server: PubSubServer, message: Message, complaint: str
) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        with pytest.raises(InvalidInput, match=complaint) as refused:
            await bus.publish("topic", [*[Message(b"fine")] * 1500, message])
        assert not refused.value.retryable
        assert "topics/dev-topic" in str(refused.value)
        assert server.counters.published == 0

    run_scenario(server, scenario)


def test_attributes_at_the_limit_are_sent(server: PubSubServer) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        await bus.publish("topic", [Message(b"", {f"{number:0256}": "v" * 1024 for number in range(100)})])
        assert server.counters.published == 1

    run_scenario(server, scenario)


def test_a_lost_answer_and_a_refusal_are_tried_again(server: PubSubServer) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        server.faults.cut("Publish")
        server.faults.refuse("Publish", code="RESOURCE_EXHAUSTED")
        await bus.publish("topic", [Message(b"1")])
        assert server.server.calls["Publish"] == 3
        assert server.counters.published == 2, "at least once: the lost answer's message was stored"

    run_scenario(server, scenario)


def test_when_pubsub_stays_away_the_publish_ends_as_transient_in_its_time(server: PubSubServer) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        server.faults.hang("Publish", times=float("inf"))
        with pytest.raises(Transient, match="waiting for Pub/Sub"):
            await bus.publish("topic", [Message(b"1")])
        server.faults.clear()

    run_scenario(server, scenario, timeout_s=0.2)


def test_a_caller_without_time_cancels_and_the_bus_works_on(server: PubSubServer) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        server.faults.hang("Publish")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await bus.publish("topic", [Message(b"1")])
        await bus.publish("topic", [Message(b"2")])
        assert server.counters.published == 1

    run_scenario(server, scenario)


def test_a_missing_topic_and_a_missing_right_say_what_to_do(server: PubSubServer) -> None:
    async def scenario(bus: PubSubBus, server: PubSubServer) -> None:
        with pytest.raises(CloudSetup, match=r"projects/p/topics/dev-other.*Create the topic \(terraform apply\)"):
            await bus.publish("other", [Message(b"1")])
        server.faults.deny("pubsub.topics.publish", "projects/p/topics/dev-topic")
        with pytest.raises(PermissionMissing, match=r"'pubsub\.topics\.publish' denied on resource"):
            await bus.publish("topic", [Message(b"1")])

    run_scenario(server, scenario)
