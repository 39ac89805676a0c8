"""`vertex.validation`: one cheap call to Cloud Monitoring with the stored account; its outcome is recorded with it."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

from convergence.ports.processor import Context
from convergence.processors.credential_trial import CredentialTrial
from convergence.processors.http.client import RestClient
from convergence.processors.vertex.usage import METRIC, VertexSettings, connect


async def _ask(context: Context, options: VertexSettings) -> RestClient:
    """Ask for the tokens of yesterday, which needs the role Monitoring Viewer on the project."""
    client = await connect(context, options)
    today = context.now().date()
    params = [
        ("filter", f'metric.type = "{METRIC}"'),
        ("interval.startTime", f"{today - timedelta(days=1)}T00:00:00Z"),
        ("interval.endTime", f"{today}T00:00:00Z"),
        ("pageSize", "1"),
    ]
    await client.get(f"/projects/{quote(options.project, safe='')}/timeSeries", params)
    return client


def get_engine() -> CredentialTrial[VertexSettings]:
    """Return the processor."""
    return CredentialTrial(VertexSettings, _ask)
