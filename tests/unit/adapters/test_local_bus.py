"""What only the bus inside the process does: it closes at once and lets go of its subscriptions."""

from __future__ import annotations

import asyncio

from convergence.adapters.local.bus import LocalBus
from convergence.ports.bus import Ack, Answer, Delivery, Message


def test_a_closed_bus_cancels_its_handlers_and_delivers_nothing_more() -> None:
    async def scenario() -> None:
        bus, ended, started = LocalBus(), [], asyncio.Event()

        async def handler(delivery: Delivery) -> Answer:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(delivery.message_id)
            return Ack()

        bus.subscribe("t", handler)
        await bus.publish("t", [Message(b"1")])
        await started.wait()
        await bus.close()
        await bus.publish("t", [Message(b"2")])
        await bus.idle()
        assert len(ended) == 1

    asyncio.run(scenario())


def test_a_detached_subscription_misses_what_is_published_and_hears_again_once_attached() -> None:
    async def scenario() -> list[bytes]:
        bus, heard = LocalBus(), list[bytes]()

        async def hear(delivery: Delivery) -> Answer:
            heard.append(delivery.message.data)
            return Ack()

        bus.subscribe("t", hear)
        subscriptions = bus.detach()
        await bus.publish("t", [Message(b"lost")])
        bus.attach(subscriptions)
        await bus.publish("t", [Message(b"heard")])
        await bus.idle()
        return heard

    assert asyncio.run(scenario()) == [b"heard"]


def test_two_processes_never_give_two_messages_one_id() -> None:
    async def ids(bus: LocalBus) -> list[str]:
        heard: list[str] = []

        async def hear(delivery: Delivery) -> Answer:
            heard.append(delivery.message_id)
            return Ack()

        bus.subscribe("t", hear)
        await bus.publish("t", [Message(b"1"), Message(b"2")])
        await bus.idle()
        return heard

    seen = [each for _ in range(3) for each in asyncio.run(ids(LocalBus()))]
    assert len(set(seen)) == 6
