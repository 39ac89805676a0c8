"""Webhooks of an org as one document; their secrets are sealed under the org's and the webhook's name."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from convergence.domain.records import changed
from convergence.domain.webhook import Webhook, Webhooks, WebhookSecret, webhooks_path
from convergence.errors import Conflict, Transient
from convergence.ports.documents import Create, Documents, Replace
from convergence.ports.keyring import Keyring

_PREFIX: Final = "whsec_"  # lets scanners for leaked secrets recognise one
_ATTEMPTS: Final = 8
Edit = Callable[[Webhooks], Webhooks]


class StoredWebhooks(NamedTuple):
    """The webhooks of an org and the version that they were read at; version 0: there is no document."""

    webhooks: Webhooks
    version: int


class NewSecret(NamedTuple):
    """A secret's text, which is shown once, and what is kept of it."""

    text: str
    secret: WebhookSecret


async def read_webhooks(documents: Documents, org: str) -> StoredWebhooks:
    """Return the webhooks of an org."""
    document = await documents.get(webhooks_path(org))
    if document is None:
        return StoredWebhooks(Webhooks(org=org), 0)
    return StoredWebhooks(Webhooks.from_data(document.data), document.version)


async def read_webhooks_of(documents: Documents, orgs: Sequence[str]) -> dict[str, Webhooks]:
    """Return the webhooks of those orgs that have some."""
    found = await documents.get_many([webhooks_path(org) for org in orgs])
    return {each.data["org"]: Webhooks.from_data(each.data) for each in found if each is not None}


async def change_webhooks(documents: Documents, org: str, edit: Edit, *, token: str) -> Webhooks:
    """Store `edit` of an org's webhooks. Raises `Conflict` when other writers keep coming first."""
    for _ in range(_ATTEMPTS):
        before, version = await read_webhooks(documents, org)
        if before.token == token:
            return before  # stored by an attempt whose answer was lost
        edited = changed(edit(before), token=token)
        data = edited.to_data()
        try:
            await documents.commit([Replace(edited.path, version, data) if version else Create(edited.path, data)])
        except Conflict:
            continue
        except Transient:
            if (await read_webhooks(documents, org)).webhooks.token != token:
                raise
        return edited
    raise Conflict(f"the webhooks of {org} are being changed by others; try again")


async def new_secret(
    keyring: Keyring,
    org: str,
    webhook_id: str,
    secret_id: str,
    now: datetime,
    *,
    random_text: Callable[[int], str] = secrets.token_urlsafe,
) -> NewSecret:
    """Return a secret of 256 random bits; nothing is stored."""
    text = _PREFIX + random_text(32)
    ciphertext = await keyring.encrypt(text.encode(), _aad(org, webhook_id, secret_id))
    return NewSecret(text, WebhookSecret(secret_id=secret_id, ciphertext=ciphertext, created_at=now))


async def open_secret(keyring: Keyring, org: str, webhook_id: str, secret: WebhookSecret) -> bytes:
    """Return the text of a secret. Raises `Denied` when it was sealed for another org or webhook."""
    return await keyring.decrypt(secret.ciphertext, _aad(org, webhook_id, secret.secret_id))


async def reseal_webhooks(documents: Documents, keyring: Keyring, org: str) -> int:
    """Seal again what is under an older version of the key; return how many. Safe to repeat and to run concurrently."""
    for _ in range(_ATTEMPTS):
        before, version = await read_webhooks(documents, org)
        count, fresh = 0, {}
        for webhook_id, webhook in before.webhooks.items():
            kept = [await _resealed(keyring, org, webhook, each) for each in webhook.secrets]
            count += sum(new is not old for new, old in zip(kept, webhook.secrets, strict=True))
            fresh[webhook_id] = changed(webhook, secrets=tuple(kept))
        if not count:
            return 0
        try:
            await documents.commit([Replace(before.path, version, changed(before, webhooks=fresh).to_data())])
        except Conflict:
            continue
        return count
    raise Conflict(f"the webhooks of {org} are being changed by others; try again")


async def any_webhook_of(documents: Documents, orgs: Sequence[str]) -> bool:
    """Return whether any of these orgs has a webhook, and so a sealed secret."""
    for org in orgs:
        if (await read_webhooks(documents, org)).webhooks.webhooks:
            return True
    return False


async def _resealed(keyring: Keyring, org: str, webhook: Webhook, secret: WebhookSecret) -> WebhookSecret:
    if not await keyring.stale(secret.ciphertext):
        return secret
    aad = _aad(org, webhook.webhook_id, secret.secret_id)
    plaintext = await keyring.decrypt(secret.ciphertext, aad)
    return changed(secret, ciphertext=await keyring.encrypt(plaintext, aad))


def _aad(org: str, webhook_id: str, secret_id: str) -> str:
    return f"org/{org}/webhook/{webhook_id}/secret/{secret_id}"
