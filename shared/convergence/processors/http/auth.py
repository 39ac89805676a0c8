"""How a credential travels with a call: bearer, header, query, basic, oauth2."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, Literal

import httpx
import orjson
from pydantic import Field, model_validator

from convergence.domain.addresses import Reach
from convergence.errors import CredentialRejected, StepFailed, Transient
from convergence.ports.http.reach import unreachable
from convergence.ports.http.urls import checked_url
from convergence.ports.processor import Context
from convergence.processors.http.client import SignIn
from convergence.processors.settings import Settings

_TOKEN_BYTES_MAX: Final = 2**20
AuthKind = Literal["bearer", "header", "query", "basic", "oauth2", "google", "none"]
_GOOGLE: Final = {"provider": "gcp", "scope": "https://www.googleapis.com/auth/cloud-platform.read-only"}


class Auth(Settings):
    """`provider` names the credential; `secret_key` is a further name to look for: a secret parameter, a provider.

    A secret is the key itself; for basic `user:password`; for oauth2 `{"client_id": …, "client_secret": …}` or
    `id:secret`; for google a service account's key file, by default that of `gcp`, to read.
    """

    type: AuthKind = "bearer"
    provider: str = ""
    secret_key: str = ""
    header: str = "x-api-key"
    param: str = "key"
    prefix: str = ""  # precedes the key in the header
    token_url: str = ""
    scope: str = ""
    extra: dict[str, str] = Field(default_factory=dict)  # further fields of the token request

    @model_validator(mode="before")
    @classmethod
    def _google(cls, value: Any) -> Any:
        return {**_GOOGLE, **value} if isinstance(value, dict) and value.get("type") == "google" else value

    @model_validator(mode="after")
    def _complete(self) -> Auth:
        if self.type == "oauth2" and not self.token_url:
            raise ValueError("oauth2 needs token_url")
        if self.type != "none" and not (self.provider or self.secret_key):
            raise ValueError("name the credential: provider, or secret_key")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Where to look for the credential, in this order."""
        return tuple(name for name in (self.provider, self.secret_key) if name)


async def open_secret(auth: Auth, context: Context) -> str:
    """Return the credential: the one of `provider`, else what `secret_key` names.

    Raises `StepFailed` when there is neither.
    """
    names = auth.names
    for name in names[:-1]:
        try:
            return (await context.secrets.open(name)).strip()
        except StepFailed:
            context.logger.info("no credential of %s; looking for %s", name, names[-1])
    return (await context.secrets.open(names[-1])).strip()


async def signed(auth: Auth | None, context: Context, reach: Reach) -> tuple[dict[str, str], dict[str, str]]:
    """Return (headers, query parameters) that carry the credential.

    Raises:
        CredentialRejected: the token endpoint refuses the client.
        StepFailed: there is no credential, or it has the wrong form.
    """
    if auth is None or auth.type == "none":
        return {}, {}
    secret = await open_secret(auth, context)
    match auth.type:
        case "bearer":
            return {"authorization": f"Bearer {secret}"}, {}
        case "header":
            return {auth.header: auth.prefix + secret}, {}
        case "query":
            return {}, {auth.param: secret}
        case "basic":
            if ":" not in secret:
                raise StepFailed(f"the credential of {auth.provider!r} for basic auth must have the form user:password")
            return {"authorization": "Basic " + b64encode(secret.encode()).decode()}, {}
        case "oauth2":
            return {"authorization": f"Bearer {await _token(auth, secret, context, reach)}"}, {}
        case "google":
            return {"authorization": f"Bearer {await context.accounts.token(secret, auth.scope.split())}"}, {}


def renewal(auth: Auth | None, context: Context, reach: Reach) -> SignIn | None:
    """Return a function that gets headers with a new access token; None if the credential is the key itself."""
    if auth is None or auth.type not in {"oauth2", "google"}:
        return None

    async def sign_in() -> Mapping[str, str]:
        return (await signed(auth, context, reach))[0]

    return sign_in


async def _token(auth: Auth, secret: str, context: Context, reach: Reach) -> str:
    """Ask for an access token by client credentials (RFC 6749, section 4.4)."""
    client_id, client_secret = _client(secret, auth.provider)
    service = f"{auth.provider or auth.secret_key} (token)"
    url = checked_url(auth.token_url, service)
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret, **auth.extra}
    if auth.scope:
        form["scope"] = auth.scope
    try:
        answer = await context.http.post(
            url,
            data=form,
            headers={"accept": "application/json"},
            extensions={"reach": reach, "bytes_max": _TOKEN_BYTES_MAX},
        )
    except httpx.RequestError as error:
        raise Transient(f"{service} cannot be reached: {unreachable(error)}") from error
    if answer.status_code in {400, 401, 403}:
        raise CredentialRejected(f"{service} refuses the client ({answer.status_code}): store a new credential")
    if answer.status_code != 200:
        raise Transient(f"{service} answers {answer.status_code}")
    try:
        token = orjson.loads(answer.content)["access_token"]
    except (ValueError, KeyError, TypeError) as error:
        raise StepFailed(f"{service} answers without access_token: check auth.token_url") from error
    context.secrets.mask(str(token))
    return str(token)


def _client(secret: str, name: str) -> tuple[str, str]:
    if not secret.startswith("{"):
        client_id, _, client_secret = secret.partition(":")
    else:
        try:
            fields: dict[str, Any] = orjson.loads(secret)
        except ValueError:
            fields = {}
        client_id, client_secret = str(fields.get("client_id") or ""), str(fields.get("client_secret") or "")
    if not client_id or not client_secret:
        raise StepFailed(f"the credential of {name!r} for oauth2 needs client_id and client_secret")
    return client_id, client_secret
