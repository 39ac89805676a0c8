"""`azure_openai.validation`: gets a token for the stored app and one metric with it; stores the outcome.

Cost Management is not queried: its calls are limited per tenant.
"""

from __future__ import annotations

from datetime import timedelta

from convergence.ports.processor import Context
from convergence.processors.azure_openai.api import AzureSettings, connect
from convergence.processors.azure_openai.usage import API_VERSION
from convergence.processors.credential_trial import CredentialTrial
from convergence.processors.http.client import RestClient

METRIC = "AzureOpenAIRequests"


async def _ask(context: Context, options: AzureSettings) -> RestClient:
    """Ask for the requests of yesterday, which needs the role Monitoring Reader on the account."""
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


def get_engine() -> CredentialTrial[AzureSettings]:
    """Return the processor."""
    return CredentialTrial(AzureSettings, _ask)
