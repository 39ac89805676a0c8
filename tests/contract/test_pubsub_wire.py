"""What comes out of a subscription is what went into `PubSubBus`: on the test server, and on Google Cloud by flag.

Keeps the server honest where its reading of the documentation could be wrong: `--run-integration`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from google.pubsub_v1 import SubscriberAsyncClient, types

from convergence.adapters.gcp.bus import PubSubBus
from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.errors import CloudSetup
from convergence.ports.bus import Message
from tests.emulators.pubsub import PubSubServer
from tests.emulators.topology import Admin


class Cloud(NamedTuple):
    """A project, and where it is."""

    project: str
    prefix: str
    endpoint: str | None


@pytest.fixture(params=["server", pytest.param("real", marks=pytest.mark.integration)])
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    prefix = RandomIds().new("t").replace("_", "-") + "-"
    if request.param == "real":
        yield Cloud(os.environ["CONVERGENCE_GCP_PROJECT"], prefix, None)
        return
    server = PubSubServer()
    yield Cloud("p", prefix, server.start())
    server.stop()


async def pulled(subscriber: SubscriberAsyncClient, name: str, count: int) -> list[types.ReceivedMessage]:
    """Pull and acknowledge `count` messages; a pull may answer empty before they are there."""
    found: list[types.ReceivedMessage] = []
    while len(found) < count:
        part = list((await subscriber.pull(subscription=name, max_messages=count, timeout=60)).received_messages)
        if part:
            await subscriber.acknowledge(subscription=name, ack_ids=[each.ack_id for each in part])
        found += part
    return found


def test_what_is_published_comes_out_and_a_missing_topic_says_what_to_do(cloud: Cloud) -> None:
    sent = {b"\x00\xff": {"org": "acme"}, b"2": {}, b"": {"only": "attributes"}}

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            admin = Admin(cloud.project, prefix=cloud.prefix, endpoint=cloud.endpoint)
            stack.push_async_callback(admin.close)
            stack.push_async_callback(admin.remove)
            bus = PubSubBus(
                cloud.project, prefix=cloud.prefix, clock=SystemClock(), ids=RandomIds(), endpoint=cloud.endpoint
            )
            stack.push_async_callback(bus.close)
            name = await admin.listen("topic")
            await bus.publish("topic", [Message(data, attributes) for data, attributes in sent.items()])
            got = await pulled(admin.subscriber, name, len(sent))
            assert {each.message.data: dict(each.message.attributes) for each in got} == sent
            assert all(each.message.message_id and each.message.publish_time for each in got)
            with pytest.raises(CloudSetup, match="Create the topic"):
                await bus.publish("other", [Message(b"1")])

    async def within() -> None:
        async with asyncio.timeout(120):
            await scenario()

    asyncio.run(within())
