"""`vertex.validation`: one cheap call to Cloud Monitoring with the stored account; its outcome is recorded with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from convergence.ports.processor import Context
from convergence.processors.credential_trial import tried
from convergence.processors.http.client import RestClient
from convergence.processors.settings import settings
from convergence.processors.vertex.usage import METRIC, VertexSettings, connect


class ValidationProcessor:
    """Asks for the tokens of yesterday, which needs the role Monitoring Viewer on the project."""

    config_model = VertexSettings
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the account valid, or invalid with the reason. Raises `CredentialRejected` for one that is refused."""
        options = settings(VertexSettings, step_config)
        return await tried(context, options.secret, _ask(context, options))


async def _ask(context: Context, options: VertexSettings) -> RestClient:
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


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
