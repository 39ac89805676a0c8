"""Webhooks of an org: where its events are sent, which of them, and what the requests are signed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.status import RUN_TERMINAL
from convergence.domain.times import to_text

EVENTS: Final = tuple(sorted(f"run.{status}" for status in RUN_TERMINAL))  # the types that can be subscribed to
WEBHOOKS_MAX: Final = 10  # of an org: each matching one is a document in the commit that ends a run
SECRETS_MAX: Final = 2  # that sign at a time


@dataclass(frozen=True, kw_only=True)
class WebhookSecret(StoredRecord):
    """A secret, sealed for its org and webhook. A former one has an `expires_at`, until which it signs too."""

    secret_id: str
    ciphertext: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        expires_at = None if self.expires_at is None else to_text(self.expires_at)
        return {
            **self.unknown,
            "secret_id": self.secret_id,
            "ciphertext": self.ciphertext,
            "created_at": to_text(self.created_at),
            "expires_at": expires_at,
        }


@dataclass(frozen=True, kw_only=True)
class Webhook(StoredRecord):
    """One target. `pipelines` is a pattern for the paths of pipelines, in which `*` stands for any text."""

    webhook_id: str
    url: str = field(repr=False)
    events: tuple[str, ...] = EVENTS
    pipelines: str = "*"
    description: str = ""
    enabled: bool = True
    secrets: tuple[WebhookSecret, ...] = ()  # the newest first
    created_at: datetime
    updated_at: datetime

    def wants(self, event: str, pipeline: str) -> bool:
        """True for an event that is sent to it."""
        return self.enabled and event in self.events and fnmatchcase(pipeline, self.pipelines)

    def signing(self, now: datetime) -> tuple[WebhookSecret, ...]:
        """Return the secrets that sign now, the newest first."""
        return tuple(each for each in self.secrets if each.expires_at is None or now < each.expires_at)

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            **self.unknown,
            "webhook_id": self.webhook_id,
            "url": self.url,
            "events": self.events,
            "pipelines": self.pipelines,
            "description": self.description,
            "enabled": self.enabled,
            "secrets": [each.to_data() for each in self.secrets],
            "created_at": to_text(self.created_at),
            "updated_at": to_text(self.updated_at),
        }


@dataclass(frozen=True, kw_only=True)
class Webhooks(StoredRecord):
    """What `webhooks/{org}` holds: all webhooks of an org by id, so that an event's end reads one document."""

    org: str
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
    token: str = ""

    @property
    def path(self) -> str:
        """Where the document is."""
        return webhooks_path(self.org)

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        kept = {webhook_id: each.to_data() for webhook_id, each in self.webhooks.items()}
        return {**self.unknown, "org": self.org, "webhooks": kept, "token": self.token}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def webhooks_path(org: str) -> str:
    """Return the path of the document with an org's webhooks."""
    return f"webhooks/{org}"
