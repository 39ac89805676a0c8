"""`anthropic.validation`: one cheap call with the stored credential; its outcome is recorded with the credential."""

from __future__ import annotations

from datetime import timedelta

from convergence.ports.processor import Context
from convergence.processors.anthropic.api import USAGE, ApiSettings, connect
from convergence.processors.credential_trial import CredentialTrial
from convergence.processors.http.client import RestClient


async def _ask(context: Context, options: ApiSettings) -> RestClient:
    """Ask for one day of usage."""
    client = await connect(context, options)
    yesterday = (context.now() - timedelta(days=1)).date().isoformat()
    params = [("starting_at", f"{yesterday}T00:00:00Z"), ("bucket_width", "1d"), ("limit", "1")]
    await client.get(USAGE, params)
    return client


def get_engine() -> CredentialTrial[ApiSettings]:
    """Return the processor."""
    return CredentialTrial(ApiSettings, _ask)
