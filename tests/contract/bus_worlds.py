"""A bus and its subscribers, in the process and on Pub/Sub: what a test of the bus needs beside the port.

Subscribing is not part of the port (on Google Cloud it is Terraform's), so each world has its own way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

from convergence.adapters.local.bus import LocalBus
from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.ports.bus import Bus, Handler, RetryPolicy
from tests.simulation.virtual_time import VirtualLoop


class BusWorld(Protocol):
    """One bus, its subscribers, and the time that they run in."""

    slack_s: float  # how late a delivery may be

    @property
    def bus(self) -> Bus:
        """The bus under test."""
        ...

    async def subscribe(
        self, topic: str, handler: Handler, policy: RetryPolicy | None = None, *, outstanding_max: int = 1000
    ) -> None:
        """Deliver `topic`, which exists from now on, to `handler`."""
        ...

    async def topic(self, topic: str) -> None:
        """Make a topic without subscribers."""
        ...

    async def idle(self) -> None:
        """Return when nothing is waiting, running or delayed."""
        ...

    async def elapse(self, seconds: float) -> None:
        """Let time pass, while handlers run."""
        ...

    def now_s(self) -> float:
        """Return the bus's time in seconds."""
        ...


Scenario = Callable[[BusWorld], Awaitable[None]]


class _Local:
    slack_s = 0.001

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.idle = self.bus.idle
        self.elapse = asyncio.sleep

    async def subscribe(self, topic: str, handler: Handler, policy: Any = None, *, outstanding_max: int = 1000) -> None:
        self.bus.subscribe(topic, handler, policy, outstanding_max=outstanding_max)

    async def topic(self, topic: str) -> None:
        pass

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()


def local(scenario: Scenario) -> None:
    """Run on the bus of one process, in virtual time."""

    async def whole() -> None:
        await scenario(_Local())

    loop = VirtualLoop()
    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()


class _PubSub:
    """`PubSubBus` and a Pub/Sub server that pushes to a sink by HTTP."""

    slack_s = 2.0

    def __init__(self, server: Any, endpoint: str, stack: AsyncExitStack) -> None:
        from convergence.adapters.gcp.bus import PubSubBus
        from tests.emulators.topology import Admin

        self.bus = PubSubBus("p", prefix="t-", clock=SystemClock(), ids=RandomIds(), endpoint=endpoint)
        self._server, self._stack = server, stack
        self._admin = Admin("p", prefix="t-", endpoint=endpoint)
        stack.push_async_callback(self.bus.close)
        stack.push_async_callback(self._admin.close)

    async def subscribe(self, topic: str, handler: Handler, policy: Any = None, *, outstanding_max: int = 1000) -> None:
        from tests.emulators.push_sink import PushSink, answering

        self._server.outstanding_max = outstanding_max
        sink = await self._stack.enter_async_context(PushSink(answering(handler, topic)))
        await self._admin.subscribe(topic, RetryPolicy() if policy is None else policy, f"{sink.url}/{topic}")

    async def topic(self, topic: str) -> None:
        await self._admin.topic(topic)

    async def idle(self) -> None:
        await asyncio.to_thread(self._server.idle)

    async def elapse(self, seconds: float) -> None:
        await asyncio.to_thread(self._server.advance, seconds)

    def now_s(self) -> float:
        return float(self._server.now_s())


def pubsub(scenario: Scenario) -> None:
    """Run on Pub/Sub's test server, over the wire; its time jumps over backoffs."""
    from tests.emulators.pubsub import PubSubServer

    async def whole(endpoint: str) -> None:
        async with AsyncExitStack() as stack:
            await scenario(_PubSub(server, endpoint, stack))

    server = PubSubServer(jump=True)
    try:
        asyncio.run(whole(server.start()))
    finally:
        server.stop()
