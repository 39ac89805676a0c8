"""Files at addresses: each name is a URL. The checked client fetches them; nothing can be listed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from convergence.errors import CredentialRejected, StepFailed, Transient
from convergence.ports.clock import Clock
from convergence.ports.http.reach import unreachable
from convergence.ports.object_store import StoredObject

_REFUSED: Final = frozenset({401, 403})
_BUSY: Final = frozenset({408, 425, 429})


class WebStore:
    """Files of HTTPS servers."""

    def __init__(self, http: Callable[[], httpx.AsyncClient], clock: Clock) -> None:
        self._http, self._clock = http, clock

    async def list(self, prefix: str, *, most: int) -> list[StoredObject]:  # noqa: ARG002 - the port's signature
        """Refuse: an address has no listing."""
        raise StepFailed(f"{_shown(prefix)}: URLs cannot be listed; name each file in config.source.urls")

    async def fetch(self, name: str, into: Path, *, bytes_max: int) -> StoredObject:
        """Download a file; see the port."""
        shown, digest, size = _shown(name), hashlib.blake2b(digest_size=16), 0
        extensions = {"bytes_max": bytes_max}
        try:
            async with self._http().stream(
                "GET", name, headers={"accept-encoding": "identity"}, extensions=extensions
            ) as answer:
                _check(answer, shown)
                with into.open("wb") as target:
                    async for piece in answer.aiter_raw():
                        size += len(piece)
                        if size > bytes_max:
                            raise StepFailed(f"{shown} is larger than {bytes_max:,} bytes")
                        digest.update(piece)
                        target.write(piece)
                expected = answer.headers.get("content-length")
                if expected is not None and expected.isdigit() and int(expected) != size:
                    raise Transient(f"{shown}: {size:,} of {expected} bytes arrived")
                return StoredObject(name, size, self._modified(answer), digest.hexdigest())
        except httpx.InvalidURL as error:
            raise StepFailed(f"{shown} is not a URL: {error}") from error
        except httpx.HTTPError as error:
            raise Transient(f"{shown} could not be read: {unreachable(error)}") from error

    async def close(self) -> None:
        """Nothing is open: connections are the process's."""

    def _modified(self, answer: httpx.Response) -> datetime:
        try:
            found = parsedate_to_datetime(answer.headers.get("last-modified", ""))
        except (TypeError, ValueError):
            return self._clock.now()
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _check(answer: httpx.Response, shown: str) -> None:
    status = answer.status_code
    if status == 200:
        return
    if status in _REFUSED:
        raise CredentialRejected(f"{shown} answers {status}: the URL may have expired; set a new one")
    if status in _BUSY or status >= 500:
        raise Transient(f"{shown} answers {status}")
    raise StepFailed(f"{shown} answers {status}; redirects are not followed")


def _shown(url: str) -> str:
    """Return a URL without its query, which may be a signature."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]
