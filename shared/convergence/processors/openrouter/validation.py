"""`openrouter.validation`: one cheap call with the stored management key; its outcome is recorded with the key."""

from __future__ import annotations

from datetime import timedelta

from convergence.ports.processor import Context
from convergence.processors.credential_trial import CredentialTrial
from convergence.processors.http.client import RestClient
from convergence.processors.openrouter.api import BASE_URL, PATH, ActivitySettings, connect
from convergence.processors.settings import CredentialSettings


class ValidationSettings(CredentialSettings):
    """`api_base_url`: where the API is."""

    api_base_url: str = BASE_URL
    secret: str = "openrouter"  # noqa: S105 - the name of a secret


async def _ask(context: Context, options: ValidationSettings) -> RestClient:
    """Ask for the activity of yesterday, which a key for calls of models may not read."""
    client = await connect(context, ActivitySettings(**options.model_dump()))
    yesterday = (context.now() - timedelta(days=1)).date().isoformat()
    await client.get(PATH, (("date", yesterday),))
    return client


def get_engine() -> CredentialTrial[ValidationSettings]:
    """Return the processor."""
    return CredentialTrial(ValidationSettings, _ask)
