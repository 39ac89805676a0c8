"""The HTTP client that all steps of a process share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convergence.config.settings.environments import SHORT

if TYPE_CHECKING:
    import httpx


class HttpClient:
    """The process's HTTP client, made when the first step asks for it."""

    def __init__(self, env: str) -> None:
        """`env` is the suffix of datasets; in production this machine cannot be called under any name."""
        self._production = env == SHORT["production"]
        self._client: httpx.AsyncClient | None = None

    def client(self) -> httpx.AsyncClient:
        """Return it."""
        from convergence.adapters.http.client import StepClient

        if self._client is None:
            self._client = StepClient(reach="public" if self._production else "loopback")
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.aclose()
