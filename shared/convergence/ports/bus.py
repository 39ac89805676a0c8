"""Messages are hints (design: docs/engine.md §1): each may be lost, late, doubled or out of order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

STEP_READY: Final = "step-ready"
DEAD_LETTER: Final = "dead-letter"
RUN_EVENTS: Final = "run-events"
AUDIT_EVENTS: Final = "audit-events"
DISPATCH: Final = "dispatch"
TICK: Final = "tick"
QUEUE_CHANGED: Final = "queue-changed"
WEBHOOK_READY: Final = "webhook-ready"


class Message(NamedTuple):
    """JSON as UTF-8 bytes, and text attributes for routing and tracing."""

    data: bytes
    attributes: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One attempt to hand a message to a subscriber. `attempt` counts from 1."""

    message: Message
    message_id: str
    attempt: int
    topic: str


class Ack(NamedTuple):
    """Done: the bus may drop the message."""


class Retry(NamedTuple):
    """Not done: deliver again after the subscription's backoff. The bus may ignore `after_s`."""

    reason: str
    after_s: float | None = None


Answer = Ack | Retry
Handler = Callable[[Delivery], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Backoff of a subscription, in seconds, doubling from the minimum to the maximum (Pub/Sub's retry policy)."""

    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0
    deliveries_max: int = 100
    ack_deadline_s: float = 600.0
    dead_letter_topic: str | None = DEAD_LETTER


class Bus(Protocol):
    """At least once, in any order."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Return when all messages are accepted (on Google Cloud: durable).

        Raises:
            Transient: some may not have been accepted; publishing all again is harmless.
        """
        ...


Tap = Callable[[Sequence[Message]], None]


class DeliveringBus(Bus, Protocol):
    """A bus that delivers in this process."""

    def subscribe(
        self, topic: str, handler: Handler, policy: RetryPolicy | None = None, *, outstanding_max: int = 1000
    ) -> None:
        """Deliver `topic` to `handler`, at most `outstanding_max` messages at a time."""
        ...

    def tap(self, topic: str, tap: Tap) -> None:
        """Pass every published batch of `topic` to `tap`, synchronously in the publisher."""
        ...

    async def drain(self, timeout_s: float) -> bool:
        """Start no further deliveries and wait for those in progress; False when some did not end in time."""
        ...

    async def close(self) -> None:
        """Stop delivering; handlers that still run are cancelled."""
        ...
