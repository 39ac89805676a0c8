"""One cheap call with a stored credential, whose outcome is recorded with it; used by `{provider}.validation`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from convergence.errors import CredentialRejected
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.http.client import RestClient


async def tried(context: Context, secret: str, call: Awaitable[RestClient]) -> Mapping[str, Any]:
    """Await `call`, which asks the provider; mark the credential `secret` valid, or invalid with the reason.

    Raises:
        CredentialRejected: the provider refuses the credential; it is marked first.
    """
    try:
        client = await call
    except CredentialRejected as refusal:
        await context.credentials.mark(secret, valid=False, reason=str(refusal))
        raise
    await context.credentials.mark(secret, valid=True)
    return {"status": SUCCESS, "valid": True, "http_retries": client.retries}
