"""Create, change and delete webhooks, and replace their secrets: the same for the API and the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from convergence.config.settings.environments import SHORT
from convergence.domain.records import changed
from convergence.domain.webhook import EVENTS, SECRETS_MAX, WEBHOOKS_MAX, Webhook, Webhooks
from convergence.engine.services import Services
from convergence.engine.webhooks.target import check_target
from convergence.errors import InvalidInput, NotFound, QuotaExceeded, did_you_mean
from convergence.tenants.webhooks import change_webhooks, new_secret, read_webhooks

DESCRIPTION_MAX: Final = 200
OVERLAP_MAX: Final = timedelta(days=30)
_PIPELINES: Final = re.compile(r"[a-z0-9_*/.-]{1,200}")
_STARS_MAX: Final = 5
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # also line ends and turns of direction


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChange:
    """Only what is not None changes."""

    url: str | None = None
    events: Sequence[str] | None = None
    pipelines: str | None = None
    description: str | None = None
    enabled: bool | None = None

    def check(self, *, production: bool) -> None:
        """Raise `InvalidInput` for a value that a webhook cannot have."""
        if self.url is not None:
            check_target(self.url, production=production)
        if self.events is not None and not self.events:
            raise InvalidInput(f"a webhook needs at least one event of: {', '.join(EVENTS)}")
        for event in self.events or ():
            if event not in EVENTS:
                known = ", ".join(EVENTS)
                raise InvalidInput(f"there is no event {event[:100]!r} ({known}).{did_you_mean(event[:100], EVENTS)}")
        if self.pipelines is not None and (
            _PIPELINES.fullmatch(self.pipelines) is None or self.pipelines.count("*") > _STARS_MAX
        ):
            raise InvalidInput(
                "pipelines must be a path or a pattern such as openai/*: lower-case letters, digits, _ - . / and at"
                f" most {_STARS_MAX} *"
            )
        if self.description is not None and len(self.description) > DESCRIPTION_MAX:
            raise InvalidInput(f"the description of a webhook may have at most {DESCRIPTION_MAX} characters")
        if self.description is not None and _CONTROLS.search(self.description):
            raise InvalidInput("the description of a webhook must be one line without control characters")

    def apply(self, webhook: Webhook) -> Webhook:
        """Return the webhook with what is given."""
        given: dict[str, Any] = {
            "url": self.url,
            "events": None if self.events is None else tuple(sorted(set(self.events))),
            "pipelines": self.pipelines,
            "description": self.description,
            "enabled": self.enabled,
        }
        return changed(webhook, **{name: value for name, value in given.items() if value is not None})


class WithSecret(NamedTuple):
    """A webhook, and the text of its newest secret."""

    webhook: Webhook
    secret: str


async def create_webhook(services: Services, org: str, change: WebhookChange) -> WithSecret:
    """Store a webhook with its first secret.

    Raises:
        NotFound: the org.
        InvalidInput: no address, or a value that a webhook cannot have.
        QuotaExceeded: the org has the maximum number of webhooks.
    """
    if change.url is None:
        raise InvalidInput("a new webhook needs an address (url)")
    change.check(production=_production(services))
    await services.orgs.get(org)
    now, webhook_id = services.clock.now(), services.ids.new("whk")
    text, secret = await new_secret(services.keyring, org, webhook_id, services.ids.new("whs"), now)
    first = Webhook(webhook_id=webhook_id, url=change.url, secrets=(secret,), created_at=now, updated_at=now)
    webhook = change.apply(first)

    def edit(before: Webhooks) -> Webhooks:
        if len(before.webhooks) >= WEBHOOKS_MAX:
            raise QuotaExceeded(f"{org} has {WEBHOOKS_MAX} webhooks: delete or change one")
        return changed(before, webhooks={**before.webhooks, webhook_id: webhook})

    await change_webhooks(services.documents, org, edit, token=services.ids.new("t"))
    return WithSecret(webhook, text)


async def update_webhook(services: Services, org: str, webhook_id: str, change: WebhookChange) -> Webhook:
    """Store what changes. Raises `NotFound`, and `InvalidInput` for a value that a webhook cannot have."""
    change.check(production=_production(services))
    now = services.clock.now()
    return await _change(services, org, webhook_id, lambda each: changed(change.apply(each), updated_at=now))


async def rotate_secret(services: Services, org: str, webhook_id: str, *, overlap: timedelta) -> WithSecret:
    """Add a secret; the previous one also signs during the overlap, older ones no longer do.

    Raises:
        NotFound: the webhook.
        InvalidInput: an overlap that is negative or too long.
    """
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise InvalidInput(f"the overlap of two secrets must be between 0 and {OVERLAP_MAX.days * 24} hours")
    await require_webhook(services, org, webhook_id)
    now = services.clock.now()
    text, secret = await new_secret(services.keyring, org, webhook_id, services.ids.new("whs"), now)

    def edit(webhook: Webhook) -> Webhook:
        former = tuple(
            changed(each, expires_at=now + overlap if each.expires_at is None else min(each.expires_at, now + overlap))
            for each in webhook.signing(now)[: SECRETS_MAX - 1]
            if overlap
        )
        return changed(webhook, secrets=(secret, *former), updated_at=now)

    return WithSecret(await _change(services, org, webhook_id, edit), text)


async def delete_webhook(services: Services, org: str, webhook_id: str) -> None:
    """Remove a webhook with its secrets; what was not delivered by now never is. Raises `NotFound`."""

    def edit(before: Webhooks) -> Webhooks:
        _of(before, webhook_id)
        return changed(before, webhooks={name: each for name, each in before.webhooks.items() if name != webhook_id})

    await change_webhooks(services.documents, org, edit, token=services.ids.new("t"))


async def webhooks_of(services: Services, org: str) -> list[Webhook]:
    """Return the webhooks of an org, the oldest first."""
    known = (await read_webhooks(services.documents, org)).webhooks.webhooks
    return sorted(known.values(), key=lambda each: (each.created_at, each.webhook_id))


async def require_webhook(services: Services, org: str, webhook_id: str) -> Webhook:
    """Return a webhook of an org. Raises `NotFound`."""
    return _of((await read_webhooks(services.documents, org)).webhooks, webhook_id)


async def _change(services: Services, org: str, webhook_id: str, edit: Callable[[Webhook], Webhook]) -> Webhook:
    def edited(before: Webhooks) -> Webhooks:
        return changed(before, webhooks={**before.webhooks, webhook_id: edit(_of(before, webhook_id))})

    after = await change_webhooks(services.documents, org, edited, token=services.ids.new("t"))
    return after.webhooks[webhook_id]


def _of(webhooks: Webhooks, webhook_id: str) -> Webhook:
    found = webhooks.webhooks.get(webhook_id)
    if found is None:
        hint = did_you_mean(webhook_id[:100], webhooks.webhooks)
        raise NotFound(f"{webhooks.org} has no webhook {webhook_id[:100]!r}.{hint}")
    return found


def _production(services: Services) -> bool:
    return services.env == SHORT["production"]
