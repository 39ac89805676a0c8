"""What the API and the command line show of webhooks."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from typing_extensions import TypedDict

from convergence.domain.times import to_text
from convergence.domain.webhook import Webhook

_REST: Final = "/…"  # of an address that is not shown as a whole


class SecretView(TypedDict):
    """A secret, without its text. It signs until `expires_at`, for good without one."""

    secret_id: str
    created_at: str
    expires_at: str | None


class WebhookView(TypedDict):
    """A webhook. Path and query of its address may hold a secret: who may only look sees the server, then `/…`."""

    webhook_id: str
    url: str
    events: list[str]
    pipelines: str
    description: str
    enabled: bool
    secrets: list[SecretView]
    created_at: str
    updated_at: str


class NewWebhookView(WebhookView):
    """A webhook with a new secret. `secret` is shown here and nowhere else."""

    secret: str


def webhook_view(webhook: Webhook, *, whole: bool) -> WebhookView:
    """Return what is shown of a webhook; `whole`: to those who may change it, with its whole address."""
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url if whole else _server(webhook.url),
        "events": list(webhook.events),
        "pipelines": webhook.pipelines,
        "description": webhook.description,
        "enabled": webhook.enabled,
        "secrets": [
            {
                "secret_id": each.secret_id,
                "created_at": to_text(each.created_at),
                "expires_at": None if each.expires_at is None else to_text(each.expires_at),
            }
            for each in webhook.secrets
        ],
        "created_at": to_text(webhook.created_at),
        "updated_at": to_text(webhook.updated_at),
    }


def new_webhook_view(webhook: Webhook, secret: str) -> NewWebhookView:
    """Return what is shown once, with the text of the new secret."""
    return {**webhook_view(webhook, whole=True), "secret": secret}


def _server(url: str) -> str:
    parts = urlsplit(url)
    return url if parts.path in ("", "/") and not parts.query else f"{parts.scheme}://{parts.netloc}{_REST}"
