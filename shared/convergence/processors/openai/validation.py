"""`openai.validation`: one cheap call with the stored credential; its outcome is recorded with the credential."""

from __future__ import annotations

from datetime import timedelta

from convergence.ports.processor import Context
from convergence.processors.credential_trial import CredentialTrial
from convergence.processors.http.client import RestClient
from convergence.processors.openai.api import ApiSettings, connect


async def _ask(context: Context, options: ApiSettings) -> RestClient:
    """Ask for one day of usage."""
    client = await connect(context, options)
    yesterday = int((context.now() - timedelta(days=1)).timestamp())
    params = [("start_time", str(yesterday)), ("bucket_width", "1d"), ("limit", "1")]
    await client.get("/organization/usage/completions", params)
    return client


def get_engine() -> CredentialTrial[ApiSettings]:
    """Return the processor."""
    return CredentialTrial(ApiSettings, _ask)
