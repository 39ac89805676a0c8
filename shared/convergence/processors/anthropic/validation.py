"""`anthropic.validation`: one cheap call with the stored credential, and its outcome kept with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from convergence.errors import CredentialRejected
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.anthropic.api import USAGE, ApiSettings, connect
from convergence.processors.settings import settings


class ValidationProcessor:
    """Asks for one day of usage."""

    config_model = ApiSettings
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the credential valid, or invalid with the reason.

        Raises:
            CredentialRejected: the provider refuses the key; it is marked first.
        """
        client = await connect(context, settings(ApiSettings, step_config))
        yesterday = (context.now() - timedelta(days=1)).date().isoformat()
        params = [("starting_at", f"{yesterday}T00:00:00Z"), ("bucket_width", "1d"), ("limit", "1")]
        try:
            await client.get(USAGE, params)
        except CredentialRejected as refusal:
            await context.credentials.mark("anthropic", valid=False, reason=str(refusal))
            raise
        await context.credentials.mark("anthropic", valid=True)
        return {"status": SUCCESS, "valid": True, "http_retries": client.retries}


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
