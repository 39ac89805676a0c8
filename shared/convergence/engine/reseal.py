"""Seal an org's secrets again after the encryption key was rotated."""

from __future__ import annotations

from convergence.engine.services import Services
from convergence.tenants.webhooks import reseal_webhooks


async def reseal_secrets(services: Services, org: str) -> int:
    """Seal again what is under an older version of the key: credentials and secrets of webhooks; return how many."""
    credentials = await services.credentials.reseal(org)
    return credentials + await reseal_webhooks(services.documents, services.keyring, org)
