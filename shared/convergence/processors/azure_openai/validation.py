"""`azure_openai.validation`: a token of the stored app and one metric with it; the outcome is kept with the credential.

Cost Management is not asked: its calls are rationed by tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from convergence.ports.processor import Context
from convergence.processors.azure_openai.api import AzureSettings, connect
from convergence.processors.azure_openai.usage import API_VERSION
from convergence.processors.credential_trial import tried
from convergence.processors.http.client import RestClient
from convergence.processors.settings import settings

METRIC = "AzureOpenAIRequests"


class ValidationProcessor:
    """Asks for the requests of yesterday, which needs the role Monitoring Reader on the account."""

    config_model = AzureSettings
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the app valid, or invalid with the reason. Raises `CredentialRejected` for one that is refused."""
        options = settings(AzureSettings, step_config)
        return await tried(context, options.secret, _ask(context, options))


async def _ask(context: Context, options: AzureSettings) -> RestClient:
    client = await connect(context, options, "Azure Monitor")
    today = context.now().date()
    params = [
        ("api-version", API_VERSION),
        ("metricnames", METRIC),
        ("timespan", f"{today - timedelta(days=1)}T00:00:00Z/{today}T00:00:00Z"),
        ("interval", "P1D"),
        ("aggregation", "Total"),
    ]
    await client.get(f"{options.resource_id}/providers/Microsoft.Insights/metrics", params)
    return client


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
