"""`integrations.validate_gcp`: tries the stored key of a Google service account, and keeps the outcome with it.

Three things are tried in this order: that the credential has the form of a key, that Google gives a token for it, and
that BigQuery lets it ask (datasets.list, BigQuery REST API v2). Nothing of the key leaves the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from convergence.errors import CredentialRejected, StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.gcp.access_token import access_token
from convergence.processors.gcp.billing_export import BASE_URL, RENEW, SCOPE
from convergence.processors.rest import RestClient
from convergence.processors.settings import Settings, settings


class GcpSettings(Settings):
    """`project` is the one that is asked for its datasets: the key's own unless said."""

    api_base_url: str = BASE_URL
    project: str = ""
    secret: str = "gcp"  # noqa: S105 - the name of a secret


class ValidationProcessor:
    """Asks for one dataset."""

    config_model = GcpSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the credential valid, or invalid with the reason.

        Raises:
            StepFailed: the credential is no service account's key, or names no project; it is marked first.
            CredentialRejected: Google refuses it; it is marked first.
            Transient: Google is busy, which says nothing about the key.
        """
        wanted = settings(GcpSettings, step_config)
        secret = await context.secrets.open(wanted.secret)
        try:
            token = await access_token(secret, SCOPE, context, "Google")
            project = wanted.project or _project(secret)
            headers = {"authorization": f"Bearer {token}"}
            client = RestClient(context, wanted.api_base_url, headers=headers, service="BigQuery", renew=RENEW)
            await client.get(f"/projects/{quote(project, safe='')}/datasets", [("maxResults", "1")])
        except (CredentialRejected, StepFailed) as refusal:
            await context.credentials.mark(wanted.secret, valid=False, why=str(refusal))
            raise
        await context.credentials.mark(wanted.secret, valid=True)
        return {"status": SUCCESS, "valid": True, "project": project, "http_retries": client.retries}


def _project(secret: str) -> str:
    """Return the key's project. Raises `StepFailed` when it names none."""
    project = orjson.loads(secret).get("project_id")
    if not isinstance(project, str) or not project:
        raise StepFailed("the key names no project_id: set config.project, the project to ask")
    return project


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
