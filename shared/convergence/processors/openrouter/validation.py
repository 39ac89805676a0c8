"""`openrouter.validation`: one cheap call with the stored management key; its outcome is recorded with the key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from convergence.ports.processor import Context
from convergence.processors.credential_trial import tried
from convergence.processors.http.client import RestClient
from convergence.processors.openrouter.api import BASE_URL, PATH, ActivitySettings, connect
from convergence.processors.settings import CredentialSettings, settings


class ValidationSettings(CredentialSettings):
    """`api_base_url`: where the API is."""

    api_base_url: str = BASE_URL
    secret: str = "openrouter"  # noqa: S105 - the name of a secret


class ValidationProcessor:
    """Asks for the activity of yesterday, which a key for calls of models may not read."""

    config_model = ValidationSettings
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the key valid, or invalid with the reason. Raises `CredentialRejected` for one that is refused."""
        options = settings(ValidationSettings, step_config)
        return await tried(context, options.secret, _ask(context, options))


async def _ask(context: Context, options: ValidationSettings) -> RestClient:
    client = await connect(context, ActivitySettings(**options.model_dump()))
    yesterday = (context.now() - timedelta(days=1)).date().isoformat()
    await client.get(PATH, (("date", yesterday),))
    return client


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
