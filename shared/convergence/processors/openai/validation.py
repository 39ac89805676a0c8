"""`openai.validation`: one cheap call with the stored credential; its outcome is recorded with the credential."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from convergence.ports.processor import Context
from convergence.processors.credential_trial import tried
from convergence.processors.http.client import RestClient
from convergence.processors.openai.api import ApiSettings, connect
from convergence.processors.settings import settings


class ValidationProcessor:
    """Asks for one day of usage."""

    config_model = ApiSettings
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the credential valid, or invalid with the reason. Raises `CredentialRejected` for a refused one."""
        return await tried(context, "openai", _ask(context, settings(ApiSettings, step_config)))


async def _ask(context: Context, options: ApiSettings) -> RestClient:
    client = await connect(context, options)
    yesterday = int((context.now() - timedelta(days=1)).timestamp())
    params = [("start_time", str(yesterday)), ("bucket_width", "1d"), ("limit", "1")]
    await client.get("/organization/usage/completions", params)
    return client


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
