"""`deepseek.validation`: one cheap call with the stored API key; its outcome is recorded with the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.ports.processor import Context
from convergence.processors.credential_trial import tried
from convergence.processors.http.client import RestClient
from convergence.processors.settings import CredentialSettings, settings

BASE_URL: Final = "https://api.deepseek.com"
RENEW: Final = (
    "Create an API key (platform.deepseek.com, API keys), store it with the pipeline deepseek/auth/setup, then replay."
)


class ValidationSettings(CredentialSettings):
    """`api_base_url`: where the API is."""

    api_base_url: str = BASE_URL
    secret: str = "deepseek"  # noqa: S105 - the name of a secret


class ValidationProcessor:
    """Asks for the balance, the only figure on cost that the API has."""

    config_model = ValidationSettings
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the key valid, or invalid with the reason. Raises `CredentialRejected` for one that is refused."""
        options = settings(ValidationSettings, step_config)
        return await tried(context, options.secret, _ask(context, options))


async def _ask(context: Context, options: ValidationSettings) -> RestClient:
    headers = {"authorization": f"Bearer {(await context.secrets.open(options.secret)).strip()}"}
    client = RestClient(
        context, options.api_base_url, headers=headers, service="DeepSeek", renew=RENEW, reach="loopback"
    )
    await client.get("/user/balance")
    return client


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
