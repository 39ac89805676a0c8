"""The port `Accounts` over plain HTTP: a signed assertion for a token (RFC 7523, section 2.1), BigQuery's REST API.

No vendor's library: it talks to whatever answers as Google does, Google itself or the sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convergence.adapters.google_accounts.checks import (
    BIGQUERY_SCOPE,
    BIGQUERY_URL,
    bigquery_address,
    job_project,
    read_key,
)
from convergence.adapters.google_accounts.tokens import ServiceTokens
from convergence.adapters.local.google_accounts.reader import RestReader
from convergence.ports.clock import Clock, Ids

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


class RestAccounts:
    """Keeps nothing: each token and each reader is created for the call that needs it."""

    def __init__(self, http: Callable[[], httpx.AsyncClient], clock: Clock, ids: Ids, *, here: bool = True) -> None:
        """`here`: a key or an address may lead to this machine, to a stand-in; not in production."""
        self._http, self._clock, self._ids, self._here = http, clock, ids, here
        self._tokens = ServiceTokens(http, clock, ids)

    async def token(self, secret: str, scopes: Sequence[str]) -> str:
        """Return an access token; see the port."""
        return await self._tokens.token(read_key(secret, here=self._here), scopes)

    async def reader(self, secret: str, *, project: str = "", location: str = "", url: str = "") -> RestReader:
        """Return a reader with a token of its own; see the port."""
        key = read_key(secret, here=self._here)
        root = str(bigquery_address(url or BIGQUERY_URL, here=self._here)).rstrip("/")
        where = job_project(key, project)
        token = await self._tokens.token(key, (BIGQUERY_SCOPE,))
        return RestReader(
            self._http(), self._clock, self._ids, root=root, project=where, location=location, token=token
        )

    async def close(self) -> None:
        """Nothing is open: connections are the process's."""
