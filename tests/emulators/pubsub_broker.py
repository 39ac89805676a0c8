"""Topics and subscriptions by Pub/Sub's rules, on one event loop, without a wire.

Its clock runs with the loop's. With `jump=True` it jumps over a backoff as soon as nothing is in work, so a test of a
backoff of minutes ends at once, in the same order. Deadlines of deliveries in work pass by `advance` or in real time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from convergence.adapters.local.clock import SystemClock
from tests.emulators.pubsub_filter import Filter

DELETED_TOPIC: Final = "_deleted-topic_"


@dataclass(frozen=True, slots=True)
class Published:
    """A message as the topic took it."""

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    at: datetime


@dataclass(slots=True, eq=False)
class Held:
    """A message in a subscription: `deliveries` were begun so far."""

    message: Published
    number: int
    deliveries: int = 0
    acked: bool = False


@dataclass(slots=True, kw_only=True)
class Rules:
    """What a subscription says about deliveries, in seconds. `backoff` None redelivers at once."""

    ack_deadline_s: float = 10
    backoff: tuple[float, float] | None = None
    dead_letter_topic: str = ""
    deliveries_max: int = 0
    passes: Filter = field(default=lambda attributes: True)
    retain_acked: bool = False
    push: bool = False


class Fate(NamedTuple):
    """What the network does with a message on its way into a subscription; 0 copies lose it."""

    copies: int = 1
    delay_s: float = 0.0


@dataclass(slots=True)
class Counters:
    """What happened so far, over all topics."""

    published: int = 0
    publish_calls: int = 0
    delivered: int = 0
    acked: int = 0
    nacked: int = 0
    expired: int = 0
    dead_lettered: int = 0


@dataclass(slots=True, eq=False)
class Subscription:
    """Messages of a topic that are not acknowledged yet."""

    name: str
    topic: str
    rules: Rules
    ready: deque[Held] = field(default_factory=deque)
    delayed: list[tuple[float, int, Held]] = field(default_factory=list)  # a heap
    leased: dict[str, tuple[Held, float]] = field(default_factory=dict)  # by ack id; until when
    deadlines: list[tuple[float, str]] = field(default_factory=list)  # a heap; holds leases that are over, too
    kept: dict[int, Held] = field(default_factory=dict)  # for seek: the unacked, and the acked where they are retained
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    deleted: bool = False

    @property
    def busy(self) -> bool:
        """Whether anything is waiting, delayed or out."""
        return bool(self.ready or self.delayed or self.leased)

    def lease(self, held: Held, ack_id: str, until: float) -> None:
        """The message is out until then."""
        self.leased[ack_id] = (held, until)
        heapq.heappush(self.deadlines, (until, ack_id))

    def first_deadline(self) -> tuple[float, str] | None:
        """Return the lease that ends next."""
        while self.deadlines:
            until, ack_id = self.deadlines[0]
            if self.leased.get(ack_id, (None, None))[1] == until:
                return until, ack_id
            heapq.heappop(self.deadlines)
        return None

    def due(self) -> list[float]:
        """When something happens by itself."""
        lease = self.first_deadline()
        return [*(at for at, _, _ in self.delayed[:1]), *([] if lease is None else [lease[0]])]


class Broker:
    """All topics of a project. Every method runs on the broker's loop."""

    def __init__(self, *, jump: bool = False) -> None:
        self.topics: set[str] = set()
        self.subscriptions: dict[str, Subscription] = {}
        self.snapshots: dict[str, tuple[int, set[str]]] = {}  # what came later, and what was unacked
        self.counters = Counters()
        self.fate: Callable[[Published], Fate] = lambda message: Fate()
        self._jump = jump
        self._offset_s = 0.0
        self._started = SystemClock().now()
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    def now_s(self) -> float:
        """Seconds since the start."""
        return self._loop.time() - self._zero + self._offset_s

    def now(self) -> datetime:
        """The broker's time, in UTC."""
        return self._started + timedelta(seconds=self.now_s())

    def advance(self, seconds: float) -> None:
        """Let time pass at once: deadlines and backoffs that end meanwhile have ended."""
        self._offset_s += seconds
        self._pump()

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Take one message and return its id."""
        message = Published(data, dict(attributes), str(next(self._numbers)), self.now())
        self.counters.published += 1
        for subscription in self.subscriptions.values():
            if subscription.topic == topic and subscription.rules.passes(message.attributes):
                self._arrive(subscription, message)
        self._pump()
        return message.message_id

    def _arrive(self, subscription: Subscription, message: Published) -> None:
        copies, delay_s = self.fate(message)
        for _ in range(copies):
            held = Held(message, next(self._numbers))
            subscription.kept[held.number] = held
            self._later(subscription, held, delay_s)

    def take(self, subscription: Subscription, most: int) -> list[tuple[str, Held]]:
        """Lease up to `most` messages: (ack id, message)."""
        taken: list[tuple[str, Held]] = []
        while subscription.ready and len(taken) < most:
            held = subscription.ready.popleft()
            held.deliveries += 1
            ack_id = f"{held.message.message_id}-{next(self._numbers)}"
            subscription.lease(held, ack_id, self.now_s() + subscription.rules.ack_deadline_s)
            taken.append((ack_id, held))
        self.counters.delivered += len(taken)
        if taken:
            self._pump()
        return taken

    def ack(self, subscription: Subscription, ack_id: str) -> bool:
        """The message is done. False when its lease is over: it may come again."""
        held, _ = subscription.leased.pop(ack_id, (None, 0))
        if held is not None:
            self.counters.acked += 1
            self._done(subscription, held)
        self._pump()
        return held is not None

    def extend(self, subscription: Subscription, ack_id: str, seconds: float) -> bool:
        """Move the deadline of a lease; 0 seconds is a nack. False when the lease is over."""
        held, _ = subscription.leased.pop(ack_id, (None, 0))
        if held is None:
            return False
        if seconds > 0:
            subscription.lease(held, ack_id, self.now_s() + seconds)
        else:
            self.counters.nacked += 1
            self._again(subscription, held)
        self._pump()
        return True

    def seek(self, subscription: Subscription, *, unacked: Callable[[Held], bool]) -> None:
        """Deliver again what `unacked` names among what is kept, and nothing else."""
        subscription.ready.clear()
        subscription.delayed.clear()
        subscription.leased.clear()
        for held in subscription.kept.values():
            held.acked = not unacked(held)
            if not held.acked:
                held.deliveries = 0
                subscription.ready.append(held)
        self._pump()

    def snapshot(self, name: str, subscription: Subscription) -> None:
        """Remember what is unacked now; what is acked later is kept for it."""
        subscription.rules = replace(subscription.rules, retain_acked=True)
        unacked = {held.message.message_id for held in subscription.kept.values() if not held.acked}
        self.snapshots[name] = (next(self._numbers), unacked)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it is asked after every change."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def idle(self) -> None:
        """Return when no push subscription has anything waiting, delayed or out."""
        await self.until(lambda: not any(each.busy for each in self.subscriptions.values() if each.rules.push))

    def _done(self, subscription: Subscription, held: Held) -> None:
        held.acked = True
        if not subscription.rules.retain_acked:
            subscription.kept.pop(held.number, None)

    def _again(self, subscription: Subscription, held: Held) -> None:
        rules = subscription.rules
        if rules.dead_letter_topic in self.topics and 0 < rules.deliveries_max <= held.deliveries:
            self._done(subscription, held)
            self._dead_letter(subscription, held)
            return
        least, most = rules.backoff or (0.0, 0.0)
        self._later(subscription, held, min(most, least * 2 ** min(held.deliveries - 1, 30)))

    def _dead_letter(self, subscription: Subscription, held: Held) -> None:
        _, project, _, short = subscription.name.split("/")
        self.counters.dead_lettered += 1
        source = {
            "DeliveryCount": str(held.deliveries),
            "Subscription": short,
            "SubscriptionProject": project,
            "TopicPublishTime": held.message.at.isoformat(),
        }
        marks = {f"CloudPubSubDeadLetterSource{key}": value for key, value in source.items()}
        self.publish(subscription.rules.dead_letter_topic, held.message.data, {**held.message.attributes, **marks})

    def _later(self, subscription: Subscription, held: Held, delay_s: float) -> None:
        if delay_s > 0:
            heapq.heappush(subscription.delayed, (self.now_s() + delay_s, next(self._numbers), held))
        else:
            subscription.ready.append(held)

    def _pump(self) -> None:
        """Move what is due, wake who waits, and set one timer at what comes next."""
        now = self.now_s()
        alive = list(self.subscriptions.values())
        for subscription in alive:
            while (lease := subscription.first_deadline()) is not None and lease[0] <= now:
                held, _ = subscription.leased.pop(lease[1])
                self.counters.expired += 1
                self._again(subscription, held)
            while subscription.delayed and subscription.delayed[0][0] <= now:
                subscription.ready.append(heapq.heappop(subscription.delayed)[2])
            if subscription.ready:
                subscription.arrived.set()
        self._changed.set()
        self._wait(alive)

    def _wait(self, alive: list[Subscription]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        backoffs = [each.delayed[0][0] for each in alive if each.delayed]
        at_work = any(each.leased or (each.ready and each.rules.push) for each in alive)
        if self._jump and backoffs and not at_work:
            self._offset_s += max(0.0, min(backoffs) - self.now_s())
        due = [at for each in alive for at in each.due()]
        if due:
            self._timer = self._loop.call_later(max(0.0, min(due) - self.now_s()), self._pump)
