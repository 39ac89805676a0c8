"""`deepseek.validation`: one cheap call with the stored API key; its outcome is recorded with the key."""

from __future__ import annotations

from typing import Final

from convergence.ports.processor import Context
from convergence.processors.credential_trial import CredentialTrial
from convergence.processors.http.client import RestClient
from convergence.processors.settings import CredentialSettings

BASE_URL: Final = "https://api.deepseek.com"
RENEW: Final = (
    "Create an API key (platform.deepseek.com, API keys), store it with the pipeline deepseek/auth/setup, then replay."
)


class ValidationSettings(CredentialSettings):
    """`api_base_url`: where the API is."""

    api_base_url: str = BASE_URL
    secret: str = "deepseek"  # noqa: S105 - the name of a secret


async def _ask(context: Context, options: ValidationSettings) -> RestClient:
    """Ask for the balance, the only figure on cost that the API has."""
    headers = {"authorization": f"Bearer {(await context.secrets.open(options.secret)).strip()}"}
    client = RestClient(
        context, options.api_base_url, headers=headers, service="DeepSeek", renew=RENEW, reach="loopback"
    )
    await client.get("/user/balance")
    return client


def get_engine() -> CredentialTrial[ValidationSettings]:
    """Return the processor."""
    return CredentialTrial(ValidationSettings, _ask)
