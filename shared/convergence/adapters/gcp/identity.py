"""Who pushes: the token of Pub/Sub's service account, checked in addition to the platform's own check.

The claims are those of "Authenticate push subscriptions" (Pub/Sub): RS256, signed by Google, for our audience, by the
service account that the subscription names, its address verified. Tokens are never logged or repeated in an answer.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from convergence.errors import Denied, Transient
from convergence.ports.clock import Clock

if TYPE_CHECKING:
    import httpx

CERTIFICATES_URL: Final = "https://www.googleapis.com/oauth2/v1/certs"  # key id → X.509 certificate (PEM)
_ISSUERS: Final = frozenset({"accounts.google.com", "https://accounts.google.com"})
_SKEW_S: Final = 10
_AGAIN_S: Final = 60.0  # seconds between look-ups of unknown keys: any client can invent one
_KEPT_S: Final = 300.0  # if the answer does not say how long it is valid
_BYTES_MAX: Final = 2**20  # of the answer with the certificates
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})")


class Certificates(NamedTuple):
    """Google's certificates by key id, and how many seconds they may be kept."""

    pem: Mapping[str, str]
    max_age_s: float


Fetch = Callable[[], Awaitable[Certificates]]


def fetch_from(url: str = CERTIFICATES_URL, transport: httpx.AsyncBaseTransport | None = None) -> Fetch:
    """Return how to fetch the certificates, over `transport` where a test gives one. Raises `Transient`."""

    async def fetch() -> Certificates:
        import httpx

        try:
            async with httpx.AsyncClient(transport=transport, timeout=10) as client:
                plain = {"accept-encoding": "identity"}  # an answer that is not compressed cannot expand
                async with client.stream("GET", url, headers=plain) as answer:
                    answer.raise_for_status()
                    found = json.loads(await _read(answer))
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            raise Transient(f"waiting for Google's certificates ({url}): {error!r}") from error
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
            raise Transient(f"waiting for Google's certificates: {url} gave an unexpected answer")
        kept = _MAX_AGE.search(answer.headers.get("cache-control", ""))
        return Certificates(found, float(kept[1]) if kept is not None else _KEPT_S)

    return fetch


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    if "content-encoding" in answer.headers:
        raise Transient("waiting for Google's certificates: the answer is compressed, which was not requested")
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > _BYTES_MAX:
            raise Transient(f"waiting for Google's certificates: the answer has more than {_BYTES_MAX} bytes")
    return bytes(body)


class PushIdentity:
    """Checks bearer tokens; one per process, so that certificates are rarely fetched."""

    def __init__(self, *, audience: str, service_account: str, fetch: Fetch, clock: Clock) -> None:
        self._audience, self._service_account = audience, service_account
        self._fetch, self._clock = fetch, clock
        self._certificates: Mapping[str, str] = {}
        self._fetched_at: datetime | None = None
        self._kept_s = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def check(self, token: str) -> None:
        """Return when the token is Pub/Sub's, for us.

        Raises:
            Denied: it is not; the message names the wrong claim, for the operator who mistyped an audience.
            Transient: Google's certificates are not available.
        """
        from google.auth import jwt
        from google.auth.exceptions import GoogleAuthError

        try:
            header = jwt.decode_header(token)
            certificates = await self._for_key(_key_id(header))
            claims = jwt.decode(token, certificates, clock_skew_in_seconds=_SKEW_S)
        except (GoogleAuthError, ValueError, TypeError, RecursionError, binascii.Error) as error:
            # The library's message may repeat the token; ours does not.
            raise Denied(f"the token is not a valid Google token ({type(error).__name__})") from None
        for claim, fits in (
            ("iss", claims.get("iss") in _ISSUERS),
            ("aud", claims.get("aud") == self._audience),
            ("email", claims.get("email") == self._service_account),
            ("email_verified", claims.get("email_verified") is True),
        ):
            if not fits:
                raise Denied(f"the token's {claim} is not the one that this function expects")

    async def _for_key(self, key_id: str) -> Mapping[str, str]:
        """Return certificates that are not too old, fetched again for a key that they lack, if not just now.

        Callers that wait at one moment share a fetch and its failure. A known key never waits for an unknown one.
        """
        age_s = self._age_s()
        if age_s > self._kept_s or (key_id not in self._certificates and age_s > _AGAIN_S):
            if self._fetching is None:
                self._fetching = asyncio.create_task(self._refresh())
                self._fetching.add_done_callback(self._ended)
            await asyncio.shield(self._fetching)
        return self._certificates

    async def _refresh(self) -> None:
        self._certificates, self._kept_s = await self._fetch()
        self._fetched_at = self._clock.now()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # retrieved, even if all waiting callers were cancelled

    def _age_s(self) -> float:
        if self._fetched_at is None:
            return math.inf
        return (self._clock.now() - self._fetched_at) / timedelta(seconds=1)


def _key_id(header: Mapping[str, Any]) -> str:
    if header.get("alg") != "RS256":
        raise ValueError("signed with an algorithm other than RS256")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise TypeError("names no key")
    return key_id
