"""What every `Bus` promises together with its subscribers; delivery rules are Pub/Sub's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from convergence.ports.bus import Ack, Answer, Delivery, Message, Retry, RetryPolicy
from tests.contract.bus_worlds import BusWorld, Scenario, local, pubsub

RunScenario = Callable[[Scenario], None]


@pytest.fixture(params=[pytest.param(local, id="local"), pytest.param(pubsub, id="pubsub")])
def run_scenario(request: pytest.FixtureRequest) -> RunScenario:
    found: RunScenario = request.param
    return found


class Recorder:
    """A handler that gives prepared answers, then Acks."""

    def __init__(self, world: BusWorld, *answers: Answer | Exception) -> None:
        self.seen: list[tuple[float, Delivery]] = []
        self._world = world
        self._answers = list(answers)

    async def __call__(self, delivery: Delivery) -> Answer:
        self.seen.append((self._world.now_s(), delivery))
        answer = self._answers.pop(0) if self._answers else Ack()
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_every_subscription_gets_each_message_with_its_attributes(run_scenario: RunScenario) -> None:
    async def scenario(world: BusWorld) -> None:
        first, second = Recorder(world), Recorder(world)
        await world.subscribe("topic", first)
        await world.subscribe("topic", second)
        await world.topic("nobody-listens")
        await world.bus.publish("topic", [Message(b"1", {"org": "acme"}), Message(b"2")])
        await world.bus.publish("nobody-listens", [Message(b"3")])
        await world.bus.publish("topic", [])
        await world.idle()
        for recorder in (first, second):
            assert sorted(d.message.data for _, d in recorder.seen) == [b"1", b"2"]
            by_data = {d.message.data: d for _, d in recorder.seen}
            assert by_data[b"1"].message.attributes == {"org": "acme"}

    run_scenario(scenario)


def test_a_refused_message_comes_again_with_growing_backoff_and_attempt(run_scenario: RunScenario) -> None:
    async def scenario(world: BusWorld) -> None:
        handler = Recorder(world, Retry("a"), ValueError("b"), Retry("c"))
        await world.subscribe("topic", handler, RetryPolicy(backoff_min_s=20, backoff_max_s=50))
        await world.bus.publish("topic", [Message(b"1")])
        await world.idle()
        assert [delivery.attempt for _, delivery in handler.seen] == [1, 2, 3, 4]
        assert len({delivery.message_id for _, delivery in handler.seen}) == 1
        times = [at for at, _ in handler.seen]
        for (before, after), expected in zip(pairwise(times), [20, 40, 50], strict=True):
            assert expected - 0.001 <= after - before <= expected + world.slack_s

    run_scenario(scenario)


def test_a_message_refused_too_often_goes_to_the_dead_letters_with_pubsubs_attributes(
    run_scenario: RunScenario,
) -> None:
    async def scenario(world: BusWorld) -> None:
        handler, dead_letters = Recorder(world, *[Retry("no")] * 9), Recorder(world)
        await world.subscribe("dead", dead_letters)
        await world.subscribe("topic", handler, RetryPolicy(deliveries_max=5, dead_letter_topic="dead"))
        await world.bus.publish("topic", [Message(b"1", {"org": "acme"})])
        await world.idle()
        assert len(handler.seen) == 5
        (dead_letter,) = [delivery.message for _, delivery in dead_letters.seen]
        assert dead_letter.data == b"1"
        assert dead_letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
        assert dead_letter.attributes["CloudPubSubDeadLetterSourceSubscription"]
        assert dead_letter.attributes["org"] == "acme"

    run_scenario(scenario)


def test_a_handler_that_stays_silent_past_the_ack_deadline_sees_the_message_again(run_scenario: RunScenario) -> None:
    async def scenario(world: BusWorld) -> None:
        starts: list[int] = []
        first, second = asyncio.Event(), asyncio.Event()

        async def slow(delivery: Delivery) -> Answer:
            starts.append(delivery.attempt)
            if delivery.attempt == 1:
                first.set()
                await second.wait()
            second.set()
            return Ack()

        await world.subscribe("topic", slow, RetryPolicy(ack_deadline_s=10))
        await world.bus.publish("topic", [Message(b"1")])
        await first.wait()
        await world.elapse(9)
        assert starts == [1]
        await world.elapse(3)
        await second.wait()
        await world.idle()
        assert starts == [1, 2]

    run_scenario(scenario)


def test_no_more_than_the_allowed_number_of_messages_is_out_at_once(run_scenario: RunScenario) -> None:
    async def scenario(world: BusWorld) -> None:
        running, most, seen, full = 0, 0, 0, asyncio.Event()

        async def handler(delivery: Delivery) -> Answer:
            nonlocal running, most, seen
            running, seen = running + 1, seen + 1
            most = max(most, running)
            if running == 3:
                full.set()
            await full.wait()
            await world.elapse(1)
            running -= 1
            return Ack()

        await world.subscribe("topic", handler, outstanding_max=3)
        await world.bus.publish("topic", [Message(b"%d" % i) for i in range(10)])
        await world.idle()
        assert (seen, most) == (10, 3)

    run_scenario(scenario)
