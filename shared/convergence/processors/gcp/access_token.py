"""An access token of a Google service account: a signed assertion for a token (RFC 7523, section 2.1)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any, Final

import httpx
import orjson

from convergence.errors import CredentialRejected, StepFailed, Transient
from convergence.ports.processor import Context
from convergence.processors.hosts import LOOPBACK, checked_url

TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_S: Final = 3600  # the longest that Google accepts


async def access_token(secret: str, scope: str, context: Context, service: str) -> str:
    """Return a bearer token for `scope`; `secret` is the JSON key of a service account.

    Raises:
        StepFailed: the key is none, or its token_uri is not Google's.
        CredentialRejected: the key was revoked or never existed.
        Transient: the token service is busy.
    """
    key = _key(secret, service)
    url = checked_url(key.get("token_uri") or TOKEN_URI, service)
    if url.host not in LOOPBACK and not url.host.endswith(".googleapis.com"):
        raise StepFailed(f"{service}: the key's token_uri leads to {url.host!r}, which is not Google's")
    form = {"grant_type": GRANT, "assertion": _assertion(key, scope, str(url), int(context.now().timestamp()), service)}
    try:
        answer = await context.http.post(url, data=form, headers={"accept": "application/json"})
    except httpx.RequestError as error:
        raise Transient(f"{service} (token) cannot be reached: {type(error).__name__}") from error
    if answer.status_code in {400, 401, 403}:
        raise CredentialRejected(f"{service} (token) refuses the service account: store a new key, then replay")
    if answer.status_code != 200:
        raise Transient(f"{service} (token) answers {answer.status_code}")
    try:
        return str(orjson.loads(answer.content)["access_token"])
    except (ValueError, KeyError, TypeError) as error:
        raise StepFailed(f"{service} (token) answers without access_token") from error


def _key(secret: str, service: str) -> dict[str, Any]:
    try:
        key: dict[str, Any] = orjson.loads(secret)
        _ = key["client_email"], key["private_key"]
    except (ValueError, KeyError, TypeError):
        raise StepFailed(f"{service}: the credential is no JSON key of a service account") from None  # it holds the key
    return key


def _assertion(key: dict[str, Any], scope: str, audience: str, now: int, service: str) -> str:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(str(key["private_key"]).encode(), password=None)
    except (ValueError, TypeError):
        raise StepFailed(f"{service}: the private_key of the service account cannot be read") from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise StepFailed(f"{service}: the private_key of the service account is no RSA key")
    claims = {"iss": key["client_email"], "scope": scope, "aud": audience, "iat": now, "exp": now + LIFETIME_S}
    head = {"alg": "RS256", "typ": "JWT", **({"kid": key["private_key_id"]} if key.get("private_key_id") else {})}
    signed = _base64(orjson.dumps(head)) + b"." + _base64(orjson.dumps(claims))
    return (signed + b"." + _base64(private.sign(signed, padding.PKCS1v15(), SHA256()))).decode()


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
