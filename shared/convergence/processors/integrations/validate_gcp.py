"""`integrations.validate_gcp`: tries the stored key of a Google service account, and stores the outcome with it.

Three things are tried in this order: that the credential has the form of a key, that Google gives a token for it, and
that BigQuery would run a query for it (a dry run, which costs nothing). No part of the key leaves the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.errors import CredentialRejected, StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.settings import CredentialSettings, settings


class GcpSettings(CredentialSettings):
    """`project` is the one in which a query is tried: by default the key's own."""

    api_base_url: str = ""
    project: str = ""
    secret: str = "gcp"  # noqa: S105 - the name of a secret


class ValidationProcessor:
    """Asks how much a query would read."""

    config_model = GcpSettings
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Mark the credential valid, or invalid with the reason.

        Raises:
            StepFailed: the credential is not a service account's key, or names no project; it is marked first.
            CredentialRejected: Google refuses it; it is marked first.
            Transient: Google is busy, which does not invalidate the key.
        """
        options = settings(GcpSettings, step_config)
        secret = await context.secrets.open(options.secret)
        try:
            reader = await context.accounts.reader(secret, project=options.project, url=options.api_base_url)
            await reader.estimate("SELECT 1")
        except (CredentialRejected, StepFailed) as refusal:
            await context.credentials.mark(options.secret, valid=False, reason=str(refusal))
            raise
        await context.credentials.mark(options.secret, valid=True)
        return {"status": SUCCESS, "valid": True, "project": reader.project}


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
