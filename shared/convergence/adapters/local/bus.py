"""A bus in this process with Pub/Sub's delivery rules.

At least once: a handler that answers `Retry`, raises, or stays silent past the ack deadline sees the message
again after the backoff; after `deliveries_max` deliveries it goes to the dead-letter topic with Pub/Sub's
attributes. Nothing is kept on disk: after a crash the reconciler sends again what the documents call for.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from convergence.ports.bus import Answer, Delivery, Handler, Message, Retry, RetryPolicy, Tap

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Subscription:
    name: str
    handler: Handler
    policy: RetryPolicy
    outstanding_max: int
    waiting: deque[Delivery] = field(default_factory=deque)
    unanswered: dict[Delivery, float] = field(default_factory=dict)  # → ack deadline; the oldest first
    deadline: asyncio.TimerHandle | None = None
    outstanding: int = 0


Subscriptions = dict[str, list[_Subscription]]


class LocalBus:
    """`Bus` inside one event loop. Publishing and delivering are O(1); a delayed message is one timer."""

    def __init__(self) -> None:
        self._topics: Subscriptions = {}
        self._taps: dict[str, list[Tap]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._process = secrets.token_hex(8)  # otherwise two processes could give two messages the same id
        self._numbers = itertools.count(1)
        self._closed = False
        self._draining = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    def subscribe(
        self,
        topic: str,
        handler: Handler,
        policy: RetryPolicy | None = None,
        *,
        outstanding_max: int = 1000,
    ) -> None:
        """Deliver `topic` to `handler`, at most `outstanding_max` messages at a time."""
        policy = RetryPolicy() if policy is None else policy
        subscriptions = self._topics.setdefault(topic, [])
        subscriptions.append(_Subscription(f"{topic}-{len(subscriptions)}", handler, policy, outstanding_max))

    def detach(self) -> Subscriptions:
        """Drop every subscription and return them for `attach`; what is published meanwhile only taps see."""
        detached, self._topics = self._topics, {}
        return detached

    def attach(self, subscriptions: Subscriptions) -> None:
        """Put subscriptions that `detach` returned back, in place of newer ones of the same topics."""
        self._topics.update(subscriptions)

    def tap(self, topic: str, tap: Tap) -> None:
        """Hand every published batch of `topic` to `tap` at once, in the publisher's turn.

        For observers that take microseconds and never fail, such as a sink that collects for later. A message
        with many observers and no work is not worth a task of its own.
        """
        self._taps.setdefault(topic, []).append(tap)

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Hand each message to every subscription of `topic`; handlers run after this returns."""
        if self._closed:
            return
        for tap in self._taps.get(topic, ()):
            tap(messages)
        for subscription in self._topics.get(topic, ()):
            for message in messages:
                self._enqueue(subscription, Delivery(message, self._id(), 1, topic))

    async def idle(self) -> None:
        """Wait until nothing is waiting, running or delayed."""
        while self._tasks or self._timers:
            self._quiet.clear()
            await self._quiet.wait()

    async def drain(self, timeout_s: float) -> bool:
        """Start no further delivery and wait for those under way; False when some did not end in time.

        What is published meanwhile is still seen by taps; as a hint it is lost, as any may be.
        """
        self._draining = True
        tasks = set(self._tasks)
        return not tasks or not (await asyncio.wait(tasks, timeout=timeout_s))[1]

    async def close(self) -> None:
        """Stop delivering; handlers that still run are cancelled and their messages dropped."""
        self._closed = True
        deadlines = [s.deadline for group in self._topics.values() for s in group if s.deadline is not None]
        for timer in (*self._timers, *deadlines):
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _id(self) -> str:
        return f"{self._process}-{next(self._numbers)}"

    def _enqueue(self, subscription: _Subscription, delivery: Delivery) -> None:
        if self._draining:
            return
        if subscription.outstanding >= subscription.outstanding_max:
            subscription.waiting.append(delivery)
            return
        subscription.outstanding += 1
        task = asyncio.get_running_loop().create_task(self._deliver(subscription, delivery))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks and not self._timers:
            self._quiet.set()

    async def _deliver(self, subscription: _Subscription, delivery: Delivery) -> None:
        unanswered = subscription.unanswered
        unanswered[delivery] = asyncio.get_running_loop().time() + subscription.policy.ack_deadline_s
        if subscription.deadline is None:
            self._watch(subscription)
        try:
            answer: Answer = await subscription.handler(delivery)
        except Exception as error:  # any exception of a handler means "deliver again"
            logger.warning("%s: delivery %d failed", subscription.name, delivery.attempt, exc_info=error)
            answer = Retry(type(error).__name__)
        finally:
            subscription.outstanding -= 1
            in_time = unanswered.pop(delivery, None) is not None
            if subscription.waiting and not self._closed:
                self._enqueue(subscription, subscription.waiting.popleft())
        if isinstance(answer, Retry) and in_time:
            self._again(subscription, delivery, answer.after_s)

    def _watch(self, subscription: _Subscription) -> None:
        """Redeliver what stayed unanswered past its deadline; one timer for a subscription, at the oldest."""
        loop, unanswered = asyncio.get_running_loop(), subscription.unanswered
        subscription.deadline = None
        while unanswered:
            delivery, due = next(iter(unanswered.items()))
            if due > loop.time():
                subscription.deadline = loop.call_at(due, self._watch, subscription)
                return
            del unanswered[delivery]
            self._again(subscription, delivery, None)

    def _again(self, subscription: _Subscription, delivery: Delivery, after_s: float | None) -> None:
        if self._closed:
            return
        policy = subscription.policy
        if delivery.attempt >= policy.deliveries_max:
            self._give_up(subscription, delivery)
            return
        delay_s = after_s
        if delay_s is None:
            delay_s = min(policy.backoff_max_s, policy.backoff_min_s * 2 ** min(delivery.attempt - 1, 30))
        repeated = Delivery(delivery.message, delivery.message_id, delivery.attempt + 1, delivery.topic)
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.discard(timer)
            self._enqueue(subscription, repeated)

        timer = loop.call_later(delay_s, due)
        self._timers.add(timer)

    def _give_up(self, subscription: _Subscription, delivery: Delivery) -> None:
        topic = subscription.policy.dead_letter_topic
        if topic is None:
            logger.error("%s: message dropped after %d deliveries", subscription.name, delivery.attempt)
            return
        attributes = {
            **delivery.message.attributes,
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.attempt),
            "CloudPubSubDeadLetterSourceSubscription": subscription.name,
        }
        dead_letter = Message(delivery.message.data, attributes)
        for target in self._topics.get(topic, ()):
            self._enqueue(target, Delivery(dead_letter, self._id(), 1, topic))
