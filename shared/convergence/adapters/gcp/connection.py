"""One client per process, built when it is first needed and rebuilt when its channel is dead.

A gRPC channel reconnects by itself, mostly. It does not where a machine was frozen between two requests and the
other side forgot the connection: then calls fail until the channel is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

from convergence.adapters.gcp.errors import VENDOR, breaks_channel, translated
from convergence.ports.clock import Clock

T = TypeVar("T")
R = TypeVar("R")

FAILURES_MAX: Final = 3  # consecutive failures of the channel before it is replaced
_NEXT: Final = timedelta(
    seconds=10
)  # between two replacements: a new channel does not help while the service itself is down
# gRPC shares connections between channels to one place: a new channel would take over the dead one.
_OWN: Final = (("grpc.use_local_subchannel_pool", 1),)
_GRACE_S: Final = 60.0  # calls on a replaced channel may still end


def transport(kind: type[T], endpoint: str | None) -> T:
    """Return a transport of one of Google's async clients, on the running loop.

    Args:
        kind: The class, such as `FirestoreGrpcAsyncIOTransport`.
        endpoint: `host:port` of a test server, without encryption or identity; None: the real service.
    """
    import grpc.aio

    vendor: Any = kind
    if endpoint is None:
        return cast("T", vendor(channel=partial(_own_channel, vendor)))
    return cast("T", vendor(channel=grpc.aio.insecure_channel(endpoint, options=_OWN)))


def _own_channel(kind: Any, *arguments: Any, **options: Any) -> Any:
    options["options"] = [*(options.get("options") or ()), *_OWN]
    return kind.create_channel(*arguments, **options)


class Connection(Generic[T]):
    """A client that is shared by all callers of one event loop.

    Clients of `grpc.aio` belong to the loop they were made on, so a client is built on the running loop, and again
    where another loop runs.
    """

    def __init__(
        self,
        build: Callable[[], T],
        close: Callable[[T, float | None], Awaitable[None]],
        *,
        service: str,
        clock: Clock,
    ) -> None:
        """Remember how to build a client; nothing is built yet.

        Args:
            build: Makes a client; called on the running loop.
            close: Closes one; running calls have the given seconds to end (None: none).
            service: What waits are reported for, such as `Firestore`.
            clock: For the time between two replacements.
        """
        self.service = service
        self._clock = clock
        self._build = build
        self._close = close
        self._client: T | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failures = 0
        self._replaceable_at: datetime | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def client(self) -> T:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop, self._failures = self._build(), loop, 0
        return self._client

    async def call(
        self,
        use: Callable[[T], Awaitable[R]],
        *,
        doing: str,
        preconditions: bool = False,
        failed: Callable[[Exception], None] | None = None,
    ) -> R:
        """Return what `use` gets from the client, raising our errors (see `translated`).

        `failed` is called with Google's error before it is translated.
        """
        client: T | None = None
        try:
            client = self.client()
            answer = await use(client)
        except VENDOR as error:
            self._judge(client, error)
            if failed is not None:
                failed(error)
            raise translated(error, service=self.service, doing=doing, preconditions=preconditions) from error
        if client is self._client:
            self._failures = 0
        return answer

    def _judge(self, client: T | None, error: Exception) -> None:
        """Count failures of the channel in use; give it up after `FAILURES_MAX` in a row, not more often than it helps.

        Calls that were under way on a channel which is replaced already say nothing about the new one.
        """
        if client is None or client is not self._client:
            return
        self._failures = self._failures + 1 if breaks_channel(error) else 0
        now = self._clock.now()
        if self._failures < FAILURES_MAX or (self._replaceable_at is not None and now < self._replaceable_at):
            return
        self._client, self._failures, self._replaceable_at = None, 0, now + _NEXT
        task = asyncio.get_running_loop().create_task(self._closed(client, _GRACE_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _closed(self, client: Any, grace_s: float | None) -> None:
        await self._close(client, grace_s)

    async def close(self) -> None:
        """Close the client; the next call builds one again."""
        for task in self._closing:
            task.cancel()
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await self._close(client, None)
