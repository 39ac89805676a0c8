"""The body of a push delivery (Pub/Sub, "Receive push messages"): JSON around a base64 message.

The content is untrusted: any publisher may have chosen it. Unknown fields are ignored, because Google adds some.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from convergence.errors import InvalidInput
from convergence.ports.bus import Delivery, Message

# 10 MB of message (Pub/Sub quotas), a third more in base64, and room for attributes.
BODY_MAX: Final = 14_500_000


@dataclass(frozen=True, slots=True)
class Envelope:
    """A delivery, and when its message was published."""

    delivery: Delivery
    published_at: datetime


def read_envelope(body: bytes, topic: str) -> Envelope:
    """Return the delivery in `body`. Without a dead-letter policy Pub/Sub does not count attempts; then it is 1.

    Raises:
        InvalidInput: `body` is not a push delivery; the message names what is missing.
    """
    try:
        outer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"not a push delivery: not JSON ({error})") from error
    inner = outer.get("message") if isinstance(outer, dict) else None
    if not isinstance(inner, dict):
        raise InvalidInput("not a push delivery: it has no object `message`")
    message = Message(_data(inner.get("data", "")), _attributes(inner.get("attributes")))
    number = inner.get("messageId", inner.get("message_id"))
    if not isinstance(number, str) or not number:
        raise InvalidInput("not a push delivery: `message.messageId` is not a string")
    attempt = outer.get("deliveryAttempt")
    if attempt is not None and type(attempt) is not int:
        raise InvalidInput("not a push delivery: `deliveryAttempt` is not an integer")
    delivery = Delivery(message, number, max(1, attempt or 1), topic)
    return Envelope(delivery, _time(inner.get("publishTime", inner.get("publish_time"))))


def foreign(body: bytes, topic: str) -> Delivery:
    """Wrap a body that is not a push delivery, so that it can be kept like a message."""
    return Delivery(Message(body), "", 1, topic)


def _data(text: Any) -> bytes:
    if not isinstance(text, str):
        raise InvalidInput("not a push delivery: `message.data` is not a string")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"not a push delivery: `message.data` is not base64 ({error})") from error


def _attributes(given: Any) -> Mapping[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise InvalidInput("not a push delivery: `message.attributes` are not strings")
    return given


def _time(text: Any) -> datetime:
    """Return the time; Pub/Sub always sends it, and a message without one would never be too old."""
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise InvalidInput("not a push delivery: `message.publishTime` is not a time (RFC 3339)") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
