"""What every `Bus` adapter promises; delivery rules are Pub/Sub's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from convergence.adapters.local.bus import LocalBus
from convergence.ports.bus import Ack, Answer, Delivery, Message, Retry, RetryPolicy
from tests.simulation.virtual_time import VirtualLoop

BUSES = [pytest.param(LocalBus, id="local")]


def live(story: Callable[[], Any]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


class Recorder:
    """A handler that gives prepared answers, then Acks."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.seen: list[tuple[float, Delivery]] = []
        self._answers = list(answers)

    async def __call__(self, delivery: Delivery) -> Answer:
        self.seen.append((asyncio.get_running_loop().time(), delivery))
        answer = self._answers.pop(0) if self._answers else Ack()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize("make", BUSES)
def test_every_subscription_gets_each_message_with_its_attributes(make: Callable[[], LocalBus]) -> None:
    async def story() -> None:
        bus, first, second = make(), Recorder(), Recorder()
        bus.subscribe("t", first)
        bus.subscribe("t", second)
        await bus.publish("t", [Message(b"1", {"org": "acme"}), Message(b"2")])
        await bus.publish("nobody-listens", [Message(b"3")])
        await bus.idle()
        for recorder in (first, second):
            assert sorted(d.message.data for _, d in recorder.seen) == [b"1", b"2"]
        assert first.seen[0][1].message.attributes == {"org": "acme"}

    live(story)


@pytest.mark.parametrize("make", BUSES)
def test_a_refused_message_comes_again_with_growing_backoff_and_attempt(make: Callable[[], LocalBus]) -> None:
    async def story() -> None:
        bus, handler = make(), Recorder(Retry("a"), ValueError("b"), Retry("c"))
        bus.subscribe("t", handler, RetryPolicy(backoff_min_s=2, backoff_max_s=5))
        await bus.publish("t", [Message(b"1")])
        await bus.idle()
        assert [delivery.attempt for _, delivery in handler.seen] == [1, 2, 3, 4]
        times = [at for at, _ in handler.seen]
        assert [round(b - a, 3) for a, b in pairwise(times)] == [2, 4, 5]

    live(story)


@pytest.mark.parametrize("make", BUSES)
def test_a_message_refused_too_often_goes_to_the_dead_letters_with_pubsubs_attributes(
    make: Callable[[], LocalBus],
) -> None:
    async def story() -> None:
        bus, handler, letters = make(), Recorder(*[Retry("no")] * 9), Recorder()
        bus.subscribe("t", handler, RetryPolicy(deliveries_max=3, dead_letter_topic="dead"))
        bus.subscribe("dead", letters)
        await bus.publish("t", [Message(b"1", {"org": "acme"})])
        await bus.idle()
        assert len(handler.seen) == 3
        (letter,) = [delivery.message for _, delivery in letters.seen]
        assert letter.data == b"1"
        assert letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "3"
        assert letter.attributes["org"] == "acme"

    live(story)


@pytest.mark.parametrize("make", BUSES)
def test_a_handler_that_stays_silent_past_the_ack_deadline_sees_the_message_again(make: Callable[[], LocalBus]) -> None:
    async def story() -> None:
        bus, starts = make(), []

        async def slow(delivery: Delivery) -> Answer:
            starts.append(delivery.attempt)
            await asyncio.sleep(25 if delivery.attempt == 1 else 0)
            return Ack()

        bus.subscribe("t", slow, RetryPolicy(ack_deadline_s=10))
        await bus.publish("t", [Message(b"1")])
        await bus.idle()
        assert starts == [1, 2]

    live(story)


@pytest.mark.parametrize("make", BUSES)
def test_no_more_than_the_allowed_number_of_messages_is_out_at_once(make: Callable[[], LocalBus]) -> None:
    async def story() -> None:
        bus, running, most = make(), 0, 0

        async def handler(delivery: Delivery) -> Answer:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            return Ack()

        bus.subscribe("t", handler, outstanding_max=3)
        await bus.publish("t", [Message(b"%d" % i) for i in range(10)])
        await bus.idle()
        assert most == 3

    live(story)


def test_a_closed_bus_cancels_its_handlers_and_delivers_nothing_more() -> None:
    async def story() -> None:
        bus, ended = LocalBus(), []

        async def handler(delivery: Delivery) -> Answer:
            try:
                await asyncio.sleep(100)
            finally:
                ended.append(delivery.message_id)
            return Ack()

        bus.subscribe("t", handler)
        await bus.publish("t", [Message(b"1")])
        await asyncio.sleep(1)
        await bus.close()
        await bus.publish("t", [Message(b"2")])
        assert len(ended) == 1

    live(story)
