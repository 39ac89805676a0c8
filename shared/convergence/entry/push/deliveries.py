"""Process one delivery: read the envelope, keep unreadable messages, call the topic's handler."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from convergence.domain.trace import trace_of, working_on
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.messages import SCHEMA_VERSION, version_of
from convergence.engine.services import Services
from convergence.entry.push.envelope import Envelope, foreign, read_envelope
from convergence.errors import InvalidInput
from convergence.ports.bus import Ack, Answer, Delivery, Handler

logger = logging.getLogger(__name__)
_LABELS: Final = ("org", "pipeline", "run_id", "type")


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A topic's handler. A message older than `age_max_s` is kept as a dead letter; None: no limit."""

    handler: Handler
    age_max_s: float | None


async def deliver(
    services: Services, subscribed: Subscribed, topic: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    """Return the handler's answer; a message that cannot be handled is kept as a dead letter and acknowledged.

    Raises what the handler raises.
    """
    try:
        envelope = read_envelope(body, topic)
    except InvalidInput as error:
        return await _keep(services, foreign(body, topic), str(error), "message.unreadable")
    delivery = envelope.delivery
    attributes = delivery.message.attributes
    labels = {name: attributes[name] for name in _LABELS if name in attributes} | {"message_id": delivery.message_id}
    with working_on(trace_of(attributes, headers), labels):
        version = version_of(delivery.message)
        if version != SCHEMA_VERSION:
            reason = f"its schema version is {version!r}; this release reads version {SCHEMA_VERSION}"
            return await _keep(services, delivery, reason, "message.other_version")
        age_s = _age_s(services, envelope)
        if subscribed.age_max_s is not None and age_s > subscribed.age_max_s:
            age = timedelta(seconds=round(age_s))
            reason = f"published {age} ago; the limit of {topic} is {subscribed.age_max_s:g} s"
            return await _keep(services, delivery, reason, "message.too_old")
        return await subscribed.handler(delivery)


def _age_s(services: Services, envelope: Envelope) -> float:
    return (services.clock.now() - envelope.published_at).total_seconds()


async def _keep(services: Services, delivery: Delivery, reason: str, code: str) -> Ack:
    logger.warning("a message of %s is kept as a dead letter: %s", delivery.topic, reason)
    await keep_unreadable(services, delivery, reason, code=code)
    return Ack()
