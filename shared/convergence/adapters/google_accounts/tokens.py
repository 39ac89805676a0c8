"""A service account's key for an access token: a signed assertion (RFC 7523, section 2.1), over the steps' client."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.google_accounts.checks import ServiceKey, no_private_key, read_key, token_refused
from convergence.adapters.retry import retried
from convergence.errors import ConvergenceError, StepFailed, Transient
from convergence.ports.http.reach import unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from convergence.ports.clock import Clock, Ids

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_S: Final = 3600  # the longest that Google accepts
TIMEOUT_S: Final = 30.0  # one request for a token
BYTES_MAX: Final = 2**20  # of its answer
TOTAL_S: Final = 30.0  # with its repetitions


class ServiceTokens:
    """Requests tokens, each for the call that needs it; keeps none."""

    def __init__(self, http: Callable[[], httpx.AsyncClient], clock: Clock, ids: Ids) -> None:
        self._http, self._clock, self._ids = http, clock, ids

    async def token(self, key: ServiceKey, scopes: Sequence[str]) -> str:
        """Return an access token. Raises `CredentialRejected`, `StepFailed`, `Transient`; none quotes the key."""
        claims = _claims(key, scopes, int(self._clock.now().timestamp()))
        form = {"grant_type": GRANT, "assertion": _signed(key, claims)}
        return await retried(
            lambda: self._exchanged(key.token_uri, form), clock=self._clock, ids=self._ids, total_s=TOTAL_S
        )

    async def _exchanged(self, url: str, form: dict[str, str]) -> str:
        import httpx

        headers = {"accept": "application/json"}
        try:
            answer = await self._http().post(
                url, data=form, headers=headers, timeout=TIMEOUT_S, extensions={"bytes_max": BYTES_MAX}
            )
        except httpx.RequestError as error:
            raise Transient(f"waiting for Google (token): {unreachable(error)}") from None  # it holds the assertion
        if answer.status_code != 200:
            raise _refused(answer)
        try:
            return str(orjson.loads(answer.content)["access_token"])
        except (ValueError, KeyError, TypeError):
            raise StepFailed("Google (token) answers without access_token") from None

    async def of_secret(self, secret: str, scopes: Sequence[str], *, here: bool) -> str:
        """Return an access token for the key in `secret`; see `read_key` and `token`."""
        return await self.token(read_key(secret, here=here), scopes)


def _refused(answer: httpx.Response) -> ConvergenceError:
    if answer.status_code not in {400, 401, 403}:
        return Transient(f"waiting for Google (token): it answers {answer.status_code}")
    try:
        message = orjson.loads(answer.content)
        return token_refused(f"{message['error']}: {message.get('error_description')}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return token_refused("")


def _claims(key: ServiceKey, scopes: Sequence[str], now: int) -> dict[str, Any]:
    times = {"iat": now, "exp": now + LIFETIME_S}
    return {"iss": key.email, "scope": " ".join(scopes), "aud": key.token_uri, **times}


def _signed(key: ServiceKey, claims: dict[str, Any]) -> str:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.private_key.encode(), password=None)
    except (ValueError, TypeError):
        raise no_private_key() from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise no_private_key()
    head = {"alg": "RS256", "typ": "JWT", **({"kid": key.private_key_id} if key.private_key_id else {})}
    signed = _base64(orjson.dumps(head)) + b"." + _base64(orjson.dumps(claims))
    return (signed + b"." + _base64(private.sign(signed, padding.PKCS1v15(), SHA256()))).decode()


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
