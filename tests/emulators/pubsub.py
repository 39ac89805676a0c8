"""A Pub/Sub server for tests: the real wire, Pub/Sub's delivery rules, time that may jump.

Modelled: topics, pull, streaming pull and push subscriptions, ack deadlines, retry policy, dead letters, filters,
snapshots, seek. Refused: ordering keys, exactly once, exports, message transforms. Stored only: expiration, retention.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import grpc
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports.grpc import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports.grpc import SubscriberGrpcTransport

from tests.emulators.pubsub_broker import Broker, Counters, Fate, Published, Subscription
from tests.emulators.pubsub_push import Pusher, Token
from tests.emulators.pubsub_subscriptions import Subscriptions, received
from tests.emulators.pubsub_topics import Topics
from tests.emulators.serving import Faults, Server

T = TypeVar("T")
_IDLE_S = 180.0


class PubSubServer:
    """Publisher and subscriber service on one port. The broker lives on an event loop in a thread of its own.

    `counters` and `faults` may be read and set from any thread; `server.calls` counts RPCs.
    """

    def __init__(self, *, jump: bool = False, outstanding_max: int = 100, token: Token | None = None) -> None:
        """Make a server that does not serve yet.

        Args:
            jump: Skip backoffs when nothing is in work. False: real time.
            outstanding_max: Pushes of one subscription that are out at once.
            token: Makes the bearer token of a push from its audience and service account.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pubsub", daemon=True)
        self._thread.start()
        self._broker, self._pusher = self.run(_made(jump, outstanding_max, token))
        self._subscriptions = Subscriptions(self._broker, self._pusher)
        handlers = {**Topics(self._broker).handlers, **self._subscriptions.handlers}
        bridged = {name: self._on_loop(handler) for name, handler in handlers.items()}
        self.endpoint = ""
        transports = (PublisherGrpcTransport, SubscriberGrpcTransport)
        self.server = Server(transports, {**bridged, "StreamingPull": self._streaming_pull}, workers=64)

    @property
    def counters(self) -> Counters:
        """What was published and delivered so far."""
        return self._broker.counters

    @property
    def faults(self) -> Faults:
        """Faults of the wire between client and server."""
        return self.server.faults

    @property
    def outstanding_max(self) -> int:
        """Pushes of one subscription that are out at once."""
        return self._pusher.outstanding_max

    @outstanding_max.setter
    def outstanding_max(self, most: int) -> None:
        self._pusher.outstanding_max = most

    def decide(self, fate: Callable[[Published], Fate]) -> None:
        """Lose, double or delay messages on their way into subscriptions, from now on."""
        self._broker.fate = fate

    def start(self, port: int = 0) -> str:
        """Serve; return `host:port`."""
        self.endpoint = self.server.start(port)
        return self.endpoint

    def stop(self) -> None:
        """Stop for good."""
        self.server.stop()
        self.run(self._pusher.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self.do(self._broker.advance, seconds)

    def now_s(self) -> float:
        """Return the server's time in seconds since its start."""
        return self._broker.now_s()

    def idle(self) -> None:
        """Return when no push subscription has anything waiting, delayed or out; fail after a minute."""
        self.run(asyncio.wait_for(self._broker.idle(), _IDLE_S))

    def until(self, condition: Callable[[Counters], bool]) -> None:
        """Return when the counters are as expected; fail after a minute."""
        counters = self._broker.counters
        self.run(asyncio.wait_for(self._broker.until(lambda: condition(counters)), _IDLE_S))

    def run(self, work: Awaitable[T]) -> T:
        """Return what `work` gives on the broker's loop."""

        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()

    def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function gives on the broker's loop, awaited where it is a coroutine."""

        async def called() -> Any:
            answer = function(*arguments)
            return await answer if asyncio.iscoroutine(answer) else answer

        return self.run(called())

    def _on_loop(self, handler: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
        return lambda request, context: self.do(handler, request)

    def _streaming_pull(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        first = next(requests)
        subscription = self.do(self._subscriptions.known, first.subscription)
        subscription.rules.ack_deadline_s = first.stream_ack_deadline_seconds or subscription.rules.ack_deadline_s
        over = threading.Event()
        context.add_callback(over.set)
        reader = threading.Thread(target=self._answers, args=(subscription, requests, over), daemon=True)
        reader.start()
        while not over.is_set() and not subscription.deleted:
            taken = self.do(self._subscriptions.wait, subscription, first.max_outstanding_messages or 1000, 0.05)
            if over.is_set():  # the caller has gone: it must not wait for its deadline
                for ack_id, _ in taken:
                    self.do(self._broker.extend, subscription, ack_id, 0)
                return
            if taken:
                messages = [received(subscription, *each) for each in taken]
                yield types.StreamingPullResponse.pb()(received_messages=messages)

    def _answers(self, subscription: Subscription, requests: Iterator[Any], over: threading.Event) -> None:
        """Take acknowledgements and deadlines out of a stream until it ends."""
        try:
            for request in requests:
                deadlines = dict(zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True))
                self.do(self._settle, subscription, list(request.ack_ids), deadlines)
        except grpc.RpcError:
            pass  # the client left
        finally:
            over.set()

    def _settle(self, subscription: Subscription, acks: list[str], deadlines: dict[str, int]) -> None:
        for ack_id in acks:
            self._broker.ack(subscription, ack_id)
        for ack_id, seconds in deadlines.items():
            self._broker.extend(subscription, ack_id, seconds)


async def _made(jump: bool, outstanding_max: int, token: Token | None) -> tuple[Broker, Pusher]:
    broker = Broker(jump=jump)
    return broker, Pusher(broker, outstanding_max=outstanding_max, token=token)
