"""Messages on the bus: hints for steps, events for all other subscribers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

import orjson

from convergence.domain.events import Event
from convergence.domain.run import Run
from convergence.domain.trace import TRACEPARENT, current
from convergence.errors import InvalidInput
from convergence.ports.bus import QUEUE_CHANGED, RUN_EVENTS, STEP_READY, WEBHOOK_READY, Bus, Message

SCHEMA_VERSION: Final = "1"
_SLUG: Final = re.compile(r"[a-z][a-z0-9_]{2,49}")
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")  # no other is the name of a document in every store
_VERSION: Final = "schema_version"  # attribute; a message without it is of version 1


QUEUE_KIND: Final = "queue"  # attribute; distinguishes dead letters of this topic from those of steps


WEBHOOK_KIND: Final = "webhook"  # as QUEUE_KIND, of the topic `webhook-ready`
_DELIVERY_ID: Final = re.compile(r"whd_[0-9a-f]{32}")


class QueueChanged(NamedTuple):
    """Look at this org's queue now; `run_id` is a run that has just ended, if that is the reason."""

    org: str
    run_id: str = ""

    def encode(self) -> bytes:
        """Return the message's data."""
        return orjson.dumps({"org": self.org, "run_id": self.run_id})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse a message's data. Raises `InvalidInput` for anything that is not one of ours."""
        try:
            fields = orjson.loads(data)
            org, run_id = fields["org"], fields["run_id"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidInput(f"not a queue-changed message: {error}") from error
        if not (isinstance(org, str) and _SLUG.fullmatch(org) and isinstance(run_id, str)):
            raise InvalidInput("not a queue-changed message: org and run_id must be text")
        if run_id and _RUN_ID.fullmatch(run_id) is None:
            raise InvalidInput("not a queue-changed message: run_id is not a run's")
        return cls(org, run_id)


class WebhookReady(NamedTuple):
    """Look at this delivery of an event to a webhook now."""

    delivery_id: str

    def encode(self) -> bytes:
        """Return the message's data."""
        return orjson.dumps({"delivery_id": self.delivery_id})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse a message's data. Raises `InvalidInput` for anything that is not one of ours."""
        try:
            delivery_id = orjson.loads(data)["delivery_id"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidInput(f"not a webhook-ready message: {error}") from error
        if not (isinstance(delivery_id, str) and _DELIVERY_ID.fullmatch(delivery_id)):
            raise InvalidInput("not a webhook-ready message: delivery_id is not a delivery's")
        return cls(delivery_id)


class StepReady(NamedTuple):
    """Look at this step now. Nothing in it is trusted but the names."""

    run_id: str
    step_id: str
    epoch: int

    def encode(self) -> bytes:
        """Return the message's data."""
        return orjson.dumps({"run_id": self.run_id, "step_id": self.step_id, "epoch": self.epoch})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse a message's data. Raises `InvalidInput` for anything that is not one of ours."""
        try:
            fields = orjson.loads(data)
            run_id, step_id, epoch = fields["run_id"], fields["step_id"], fields["epoch"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidInput(f"not a step-ready message: {error}") from error
        if not (isinstance(run_id, str) and isinstance(step_id, str) and type(epoch) is int):
            raise InvalidInput("not a step-ready message: run_id and step_id must be text, epoch an integer")
        # Earlier messages had their version in "v"; now it is an attribute, which the bus itself checks.
        if fields.get("v", SCHEMA_VERSION) != SCHEMA_VERSION or _RUN_ID.fullmatch(run_id) is None or "/" in step_id:
            raise InvalidInput(f"not a step-ready message of schema version {SCHEMA_VERSION}")
        return cls(run_id, step_id, epoch)


def message(data: bytes, **attributes: str) -> Message:
    """Return a message with the attributes for its schema version and its trace."""
    trace = current().trace
    if trace is not None:
        attributes[TRACEPARENT] = trace.header()
    return Message(data, {_VERSION: SCHEMA_VERSION, **attributes})


def version_of(given: Message) -> str:
    """Return the schema version of a message; messages without one have the first."""
    return given.attributes.get(_VERSION, SCHEMA_VERSION)


async def publish_ready(bus: Bus, run: Run, step_ids: Iterable[str]) -> None:
    """Hint that steps may start; one call for all."""
    attributes = {"org": run.org, "run_id": run.run_id, "pipeline": run.pipeline}
    messages = [message(StepReady(run.run_id, step, run.epoch).encode(), **attributes) for step in step_ids]
    if messages:
        await bus.publish(STEP_READY, messages)


async def publish_queue_changed(bus: Bus, org: str, run_id: str = "") -> None:
    """Hint that a queued run may start now: one was added, or one has ended."""
    await bus.publish(QUEUE_CHANGED, [message(QueueChanged(org, run_id).encode(), org=org, kind=QUEUE_KIND)])


async def publish_webhooks_ready(bus: Bus, delivery_ids: Iterable[str]) -> None:
    """Hint that deliveries of events to webhooks are due; one call for all."""
    messages = [message(WebhookReady(each).encode(), kind=WEBHOOK_KIND) for each in delivery_ids]
    if messages:
        await bus.publish(WEBHOOK_READY, messages)


async def publish_events(bus: Bus, events: Iterable[Event]) -> None:
    """Publish events."""
    await bus.publish(RUN_EVENTS, [_message(event) for event in events])


def _message(event: Event) -> Message:
    return message(orjson.dumps(event), org=event["org"], run_id=event["data"]["run_id"], type=event["type"])
