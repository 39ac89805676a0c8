"""Calls of BigQuery's REST API: one client for a process, each call on a thread with its own timeout and retries.

Google's client by default waits 600 s for a call and 2,400 s for a job (google-cloud-bigquery 3.47, `retry.py`), longer
than a function lives; both are switched off here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from convergence.adapters.gcp.errors import VENDOR, translated
from convergence.adapters.gcp.warehouse.errors import busy
from convergence.adapters.retry import retried
from convergence.errors import ConvergenceError, Transient
from convergence.ports.clock import Clock, Ids

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.cloud import bigquery

T = TypeVar("T")

CALL_TIMEOUT_S: Final = 30.0  # one HTTP request
UPLOAD_TIMEOUT_S: Final = 120.0  # for a call that uploads staged rows
TOTAL_S: Final = 60.0  # for a call with all its retries
SERVICE: Final = "BigQuery"
CONNECTIONS_MAX: Final = 320  # kept; as many as a function has threads
HTTP: Final[dict[str, Any]] = {"retry": None, "timeout": CALL_TIMEOUT_S}  # of every request


class Client:
    """A lazily built `bigquery.Client`, shared by all threads of the process. `endpoint` is `host:port` or a URL."""

    def __init__(
        self,
        *,
        project: str,
        location: str | None,
        credentials: Credentials | None,
        endpoint: str | None,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.project, self.location = project, location
        self.clock, self.ids = clock, ids
        self._credentials, self._endpoint = credentials, endpoint
        self._lock = threading.Lock()
        self._client: bigquery.Client | None = None

    async def call(self, work: Callable[[bigquery.Client], T], *, doing: str, total_s: float = TOTAL_S) -> T:
        """Return what `work` gets from the client, on a thread; what is transient is tried again for `total_s`.

        `NotFound`, `Conflict` and `PreconditionFailed` of google.api_core pass through: they decide what happens next.
        """
        return await retried(lambda: self.once(work, doing=doing), clock=self.clock, ids=self.ids, total_s=total_s)

    async def once(self, work: Callable[[bigquery.Client], T], *, doing: str) -> T:
        """Return what `work` gets from the client, on a thread, without another attempt; errors as in `call`."""
        return await asyncio.to_thread(self._once, work, doing)

    def close(self) -> None:
        """Close the client's connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _once(self, work: Callable[[bigquery.Client], T], doing: str) -> T:
        import requests
        from google.api_core import exceptions as google

        try:
            return work(self._built())
        except (google.NotFound, google.Conflict, google.PreconditionFailed):
            raise
        except VENDOR as error:
            raise translate(error, doing) from error
        except (requests.RequestException, ConnectionError) as error:
            raise Transient(f"waiting for {SERVICE} ({doing}): {type(error).__name__}") from error

    def _built(self) -> bigquery.Client:
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery
        from requests.adapters import HTTPAdapter

        with self._lock:
            if self._client is None:
                options: dict[str, Any] = {}
                credentials = self._credentials
                if self._endpoint is not None:
                    address = self._endpoint if "://" in self._endpoint else f"http://{self._endpoint}"
                    options["client_options"] = ClientOptions(api_endpoint=address)
                    credentials = credentials or AnonymousCredentials()
                made = bigquery.Client(project=self.project, location=self.location, credentials=credentials, **options)
                for scheme in ("https://", "http://"):  # a client keeps ten connections and reopens others
                    made._http.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS_MAX))  # noqa: SLF001 - no other way to its session
                self._client = made
            return self._client


def translate(error: Exception, doing: str) -> ConvergenceError:
    """Return our error for Google's; a 403 for "too often" is not about permissions."""
    reason = busy(error)
    if reason is not None:
        return Transient(f"waiting for {SERVICE} ({doing}): {reason}")
    return translated(error, service=SERVICE, doing=doing)
