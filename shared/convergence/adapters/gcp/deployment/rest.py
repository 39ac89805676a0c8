"""Google's REST APIs with the caller's own identity: application default credentials, reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from convergence.errors import CloudSetup, NotFound, PermissionMissing, Transient
from convergence.ports.http.reach import unreachable

if TYPE_CHECKING:
    import httpx

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
PAGES_MAX: Final = 50
_TEXT_MAX: Final = 300


class Rest:
    """Asks with one token, which outlives the few requests of a check."""

    def __init__(self, client: httpx.AsyncClient, token: Callable[[], Awaitable[str]]) -> None:
        self._client, self._obtain = client, token
        self._token = ""
        self.answered_at: datetime | None = None  # Google's clock, when it last answered

    async def get(self, url: str, **query: str) -> Mapping[str, Any]:
        """Return the answer of a GET. Raises as `_ask` does."""
        return await self._ask("GET", url, params=query)

    async def post(self, url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer of a POST that changes nothing, such as `:getIamPolicy`."""
        return await self._ask("POST", url, json=body)

    async def pages(self, url: str, field: str, **query: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the entries of a list over all its pages."""
        token = ""
        for _ in range(PAGES_MAX):
            page = await self.get(url, **query, **({"pageToken": token} if token else {}))
            for each in page.get(field, ()):
                yield each
            token = page.get("nextPageToken", "")
            if not token:
                return
        raise Transient(f"{url} has more than {PAGES_MAX} pages")

    async def _ask(self, method: str, url: str, **request: Any) -> Mapping[str, Any]:
        """Send one request.

        Raises:
            NotFound, PermissionMissing: as Google says.
            CloudSetup: the API is not enabled, or the answer is another refusal.
            Transient: Google is busy or cannot be reached.
        """
        import httpx

        if not self._token:
            self._token = await self._obtain()
        try:
            answer = await self._client.request(
                method, url, headers={"authorization": f"Bearer {self._token}"}, **request
            )
        except httpx.HTTPError as error:
            raise Transient(f"{url} could not be reached: {unreachable(error)}") from error
        if "date" in answer.headers:
            self.answered_at = parsedate_to_datetime(answer.headers["date"])
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Transient(f"{url} is busy ({answer.status_code})")
        body = _object(answer)
        if answer.status_code < 400:
            return body
        detail = body.get("error")
        message = str(detail.get("message", ""))[:_TEXT_MAX] if isinstance(detail, dict) else ""
        reported = f"{url}: {message or answer.status_code}"
        if answer.status_code == 404:
            raise NotFound(reported)
        raise PermissionMissing(reported) if answer.status_code == 403 else CloudSetup(reported)


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


async def own_token() -> str:
    """Return an access token of the application default credentials. Raises `CloudSetup` without them."""
    import asyncio

    return await asyncio.to_thread(_own_token)


def _own_token() -> str:
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
    except ImportError:
        raise CloudSetup("access to Google Cloud needs google-auth: install convergence-pipelines[gcp]") from None
    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise CloudSetup(
            f"there are no credentials for Google Cloud ({type(error).__name__}):"
            " run `gcloud auth application-default login`"
        ) from error
    return str(credentials.token)
