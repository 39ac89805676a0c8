"""The HTTP client that all steps of a process share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


class HttpClient:
    """The process's HTTP client, made when the first step asks for it."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    def client(self) -> httpx.AsyncClient:
        """Return it. No redirects: a credential must not follow one to another host."""
        import httpx

        if self._client is None:
            limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
            self._client = httpx.AsyncClient(
                follow_redirects=False, limits=limits, timeout=httpx.Timeout(60, connect=10)
            )
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.aclose()
