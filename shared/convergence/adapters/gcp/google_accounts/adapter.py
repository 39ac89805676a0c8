"""The port `Accounts` on google-cloud-bigquery: a token and a client of its own for each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from convergence.adapters.gcp.google_accounts.reader import BigQueryReader
from convergence.adapters.gcp.warehouse.client import Client
from convergence.adapters.google_accounts.checks import (
    BIGQUERY_SCOPE,
    BIGQUERY_URL,
    ServiceKey,
    bigquery_address,
    job_project,
    read_key,
)
from convergence.adapters.google_accounts.tokens import ServiceTokens
from convergence.errors import StepFailed
from convergence.ports.clock import Clock, Ids

if TYPE_CHECKING:
    import httpx

_API: Final = "/bigquery/v2"  # what Google's client appends to the address it is given


class GoogleAccounts:
    """Made for one execution. `endpoint` (`host:port`, plain HTTP) stands in for BigQuery.

    Only beside a stand-in may a key or an address lead to this machine: a deployed function connects to Google only.
    """

    def __init__(
        self, http: Callable[[], httpx.AsyncClient], *, clock: Clock, ids: Ids, endpoint: str | None = None
    ) -> None:
        self._clock, self._ids, self._endpoint = clock, ids, endpoint
        self._tokens = ServiceTokens(http, clock, ids)
        self._open: list[BigQueryReader] = []

    async def token(self, secret: str, scopes: Sequence[str]) -> str:
        """Return an access token; see the port."""
        return await self._tokens.token(self._key(secret), scopes)

    async def reader(self, secret: str, *, project: str = "", location: str = "", url: str = "") -> BigQueryReader:
        """Return a reader with credentials and a client of its own; see the port."""
        from google.oauth2.credentials import Credentials

        key = self._key(secret)
        where, address = job_project(key, project), self._address(url)
        token = await self._tokens.token(key, (BIGQUERY_SCOPE,))  # outlives an execution: nothing refreshes it
        client = Client(
            project=where,
            location=location or None,
            credentials=Credentials(token),
            endpoint=address,
            clock=self._clock,
            ids=self._ids,
        )
        reader = BigQueryReader(client, token)
        self._open.append(reader)
        return reader

    async def close(self) -> None:
        """Close all readers; they answer no more."""
        while self._open:
            self._open.pop().close()

    def _key(self, secret: str) -> ServiceKey:
        return read_key(secret, here=self._endpoint is not None)

    def _address(self, url: str) -> str | None:
        """Return the options of Google's client; None for Google's own address."""
        if not url or url.rstrip("/") == BIGQUERY_URL:
            return self._endpoint
        root = str(bigquery_address(url, here=self._endpoint is not None)).rstrip("/")
        if not root.endswith(_API):
            raise StepFailed(f"the address of BigQuery must end with {_API}, as in {BIGQUERY_URL}")
        return root.removesuffix(_API)
