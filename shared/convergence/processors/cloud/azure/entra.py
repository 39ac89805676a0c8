"""Tokens of Entra for Azure Resource Manager, by an app's secret or by a client assertion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx
import orjson

from convergence.errors import CredentialRejected, StepFailed, Transient
from convergence.ports.http import entra
from convergence.ports.http.reach import unreachable
from convergence.ports.http.urls import checked_url
from convergence.ports.processor import Context
from convergence.processors.http.client import RestClient

SCOPE: Final = "https://management.azure.com/.default"
RENEW: Final = "Store an app with the role Cost Management Reader on the scope, then replay."
_ANSWER_MAX: Final = 2**20


async def connect(context: Context, secret: str, base_url: str, *, token_url: str, service: str) -> RestClient:
    """Return a client with a token of the app in `secret`.

    `token_url`: where Entra issues tokens; by default that of the app's tenant.
    """
    app = read_app(secret)
    url = token_url or entra.token_url(app)

    async def sign_in() -> Mapping[str, str]:
        return {"authorization": f"Bearer {await _token(context, app, url)}"}

    return RestClient(context, base_url, headers=await sign_in(), service=service, renew=RENEW, sign_in=sign_in)


def read_app(secret: str) -> Mapping[str, str]:
    """Return a credential's fields: tenant_id, client_id, and client_secret or client_assertion.

    Raises `StepFailed`, without quoting it.
    """
    try:
        found = orjson.loads(secret)
    except orjson.JSONDecodeError:
        found = None
    if not entra.is_app(found):
        raise StepFailed(
            "the credential of azure must be JSON with tenant_id, client_id, and client_secret or client_assertion:"
            " costs need an app; storage keys and SAS tokens open files only"
        )
    app: Mapping[str, str] = found
    return app


async def _token(context: Context, app: Mapping[str, str], url: str) -> str:
    """Return an access token for Azure Resource Manager."""
    checked = checked_url(url, "Entra")
    form = entra.token_form(app, SCOPE)
    reach: dict[str, Any] = {"reach": "loopback", "bytes_max": _ANSWER_MAX}
    try:
        answer = await context.http.post(checked, data=form, headers={"accept": "application/json"}, extensions=reach)
    except httpx.RequestError as error:
        raise Transient(f"Entra cannot be reached: {unreachable(error)}") from error
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Transient(f"Entra is busy ({answer.status_code})")
    try:
        token = str(orjson.loads(answer.content)["access_token"])
    except (ValueError, KeyError, TypeError):
        raise CredentialRejected(
            f"Entra refuses the app a token ({answer.status_code}): its secret or assertion may have expired; store a"
            " new one"
        ) from None
    context.secrets.mask(token)
    return token
