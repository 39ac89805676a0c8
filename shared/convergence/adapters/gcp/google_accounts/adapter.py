"""The port `Accounts` on google-auth and google-cloud-bigquery: credentials and clients of their own for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from convergence.adapters.gcp.google_accounts.reader import BigQueryReader
from convergence.adapters.gcp.warehouse.client import Client
from convergence.adapters.google_accounts_checks import (
    BIGQUERY_SCOPE,
    BIGQUERY_URL,
    ServiceKey,
    bigquery_address,
    job_project,
    no_private_key,
    read_key,
    token_refused,
)
from convergence.adapters.retry import retried
from convergence.errors import StepFailed, Transient
from convergence.ports.clock import Clock, Ids

if TYPE_CHECKING:
    from google.oauth2.service_account import Credentials

TIMEOUT_S: Final = 30.0  # one request for a token
TOTAL_S: Final = 30.0  # with its repetitions
_API: Final = "/bigquery/v2"  # what Google's client puts behind the address it is given


class GoogleAccounts:
    """Made for one execution. `endpoint` (`host:port`, plain HTTP) stands in for BigQuery.

    Only beside a stand-in may a key or an address lead to this machine: a deployed function asks nobody but Google.
    """

    def __init__(self, *, clock: Clock, ids: Ids, endpoint: str | None = None) -> None:
        self._clock, self._ids, self._endpoint = clock, ids, endpoint
        self._open: list[BigQueryReader] = []

    async def token(self, secret: str, scopes: Sequence[str]) -> str:
        """Return an access token; see the port."""
        return str((await self._credentials(self._key(secret), scopes)).token)

    async def reader(self, secret: str, *, project: str = "", location: str = "", url: str = "") -> BigQueryReader:
        """Return a reader with credentials and a client of its own; see the port."""
        key = self._key(secret)
        where, address = job_project(key, project), self._address(url)
        credentials = await self._credentials(key, (BIGQUERY_SCOPE,))
        client = Client(
            project=where,
            location=location or None,
            credentials=credentials,
            endpoint=address,
            clock=self._clock,
            ids=self._ids,
        )
        reader = BigQueryReader(client, str(credentials.token))
        self._open.append(reader)
        return reader

    async def close(self) -> None:
        """Close all readers; they answer no more."""
        while self._open:
            self._open.pop().close()

    def _key(self, secret: str) -> ServiceKey:
        return read_key(secret, here=self._endpoint is not None)

    def _address(self, url: str) -> str | None:
        """Return what Google's client is told; None for Google's own address."""
        if not url or url.rstrip("/") == BIGQUERY_URL:
            return self._endpoint
        root = str(bigquery_address(url, here=self._endpoint is not None)).rstrip("/")
        if not root.endswith(_API):
            raise StepFailed(f"the address of BigQuery ends with {_API}, as in {BIGQUERY_URL}")
        return root.removesuffix(_API)

    async def _credentials(self, key: ServiceKey, scopes: Sequence[str]) -> Credentials:
        from google.auth.exceptions import GoogleAuthError
        from google.oauth2.service_account import Credentials

        info = {
            "client_email": key.email,
            "private_key": key.private_key,
            "private_key_id": key.private_key_id or None,
            "project_id": key.project,
            "token_uri": key.token_uri,
        }
        try:
            credentials: Credentials = Credentials.from_service_account_info(info, scopes=list(scopes))
        except (ValueError, TypeError, GoogleAuthError):
            raise no_private_key() from None
        await retried(
            lambda: asyncio.to_thread(_sign_in, credentials), clock=self._clock, ids=self._ids, total_s=TOTAL_S
        )
        return credentials


def _sign_in(credentials: Credentials) -> None:
    """Get a token; what Google answers is read for its meaning and not repeated."""
    import requests
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    with requests.Session() as session:
        session.max_redirects = 0  # an assertion follows nobody to another host
        try:
            credentials.refresh(partial(Request(session), timeout=TIMEOUT_S))
        except GoogleAuthError as error:
            if error.retryable:
                raise Transient(f"waiting for Google (token): {type(error).__name__}") from None
            raise token_refused(_said(error)) from None
        except requests.RequestException as error:
            raise Transient(f"waiting for Google (token): {type(error).__name__}") from None


def _said(error: Exception) -> str:
    answer = next((each for each in error.args if isinstance(each, Mapping)), {})
    return f"{answer.get('error')}: {answer.get('error_description')}"
