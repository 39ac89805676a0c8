"""One event on its way to one webhook: tried at once, then again with growing pauses for a day."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from convergence.domain.records import StoredRecord, changed, from_stored
from convergence.domain.times import to_text

TEST_EVENT: Final = "webhook.test"  # of the `test` call: tried once
RETRIED_FOR: Final = timedelta(days=1)
LEASE_S: Final = 60.0  # how long a claim holds: more than an attempt takes, clocks that differ included
_FIRST_PAUSE_S: Final = 30.0
_PAUSE_MAX_S: Final = 7_200.0
_LOG_MAX: Final = 20  # the latest attempts that are kept with a delivery


class DeliveryStatus(StrEnum):
    """`failed`: the receiver did not accept it for a day, or its webhook was deleted."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Attempt(StoredRecord):
    """One request, and what came of it: the receiver's status code, or why there is none."""

    at: datetime
    duration_ms: int
    status_code: int | None = None
    error: str = ""

    @property
    def accepted(self) -> bool:
        """True when the receiver has the event."""
        return self.status_code is not None and 200 <= self.status_code < 300

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            **self.unknown,
            "at": to_text(self.at),
            "duration_ms": self.duration_ms,
            "status_code": self.status_code,
            "error": self.error,
        }


@dataclass(frozen=True, kw_only=True)
class WebhookDelivery(StoredRecord):
    """The content of `webhook_deliveries/{delivery_id}`.

    `next_attempt_at` is when it is due or, while it is under way, when its owner's claim expires: afterwards another
    may try.
    """

    delivery_id: str
    org: str
    webhook_id: str
    event_id: str
    event_type: str
    body: str = field(repr=False)  # what is sent, the same in each attempt
    created_at: datetime
    give_up_at: datetime
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    log: tuple[Attempt, ...] = ()
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    expire_at: datetime | None = None  # it may be removed then
    token: str = ""

    @property
    def path(self) -> str:
        """Where the document is."""
        return delivery_path(self.delivery_id)

    def claimed(self, now: datetime, token: str) -> Self:
        """Return it as its owner stores it before a request."""
        until = now + timedelta(seconds=LEASE_S)
        return changed(self, attempts=self.attempts + 1, next_attempt_at=until, token=token)

    def after(self, attempt: Attempt, *, wait_s: float, final: bool, token: str) -> Self:
        """Return it after an attempt: delivered, failed, or due again in `wait_s`. The last try is at `give_up_at`."""
        log = (*self.log, attempt)[-_LOG_MAX:]
        now = attempt.at + timedelta(milliseconds=attempt.duration_ms)
        if attempt.accepted or final or now >= self.give_up_at:
            status = DeliveryStatus.DELIVERED if attempt.accepted else DeliveryStatus.FAILED
            return changed(self, log=log, status=status, next_attempt_at=None, ended_at=now, token=token)
        due = min(now + timedelta(seconds=wait_s), self.give_up_at)
        return changed(self, log=log, next_attempt_at=due, token=token)

    def to_data(self) -> dict[str, Any]:
        """Return JSON. Times that are not set are left out, so that no index holds them."""
        names = "delivery_id org webhook_id event_id event_type body status attempts token"
        data = {**self.unknown, **{name: getattr(self, name) for name in names.split()}}
        data["log"] = [each.to_data() for each in self.log]
        for name in ("created_at", "give_up_at", "next_attempt_at", "ended_at", "expire_at"):
            at = getattr(self, name)
            if at is not None:
                data[name] = to_text(at)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def delivery_path(delivery_id: str) -> str:
    """Return the path of a delivery."""
    return f"webhook_deliveries/{delivery_id}"


def delivery_id_of(org: str, webhook_id: str, event_id: str) -> str:
    """Return the id of an event's delivery to a webhook: the same event makes the same delivery."""
    name = f"{org}\n{webhook_id}\n{event_id}".encode()
    return f"whd_{hashlib.blake2b(name, digest_size=16).hexdigest()}"


def pause_s(attempts: int, fraction: float, asked_s: float = 0.0) -> float:
    """Return the pause after so many attempts: 30 s, doubled each time up to 2 h, and up to a quarter more or less.

    `fraction` is random, in [0, 1). A receiver may ask for a longer pause, up to the same 2 h.
    """
    doubled = min(_PAUSE_MAX_S, _FIRST_PAUSE_S * (1 << min(attempts - 1, 20)))
    return max(doubled * (0.75 + fraction / 2), min(asked_s, _PAUSE_MAX_S))


def signature(secrets: Sequence[bytes], at: datetime, body: bytes) -> str:
    """Return `t={unix seconds},v1={hex},v1={hex}`: HMAC-SHA256 over `{t}.{body}`, once for each secret."""
    stamp = str(int(at.timestamp()))
    signed = stamp.encode() + b"." + body
    digests = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={stamp}", *(f"v1={digest}" for digest in digests)])
