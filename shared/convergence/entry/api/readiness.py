"""Whether this process can do its work, found out at most once a second: probes have no key and no rate limit."""

from __future__ import annotations

import asyncio
from typing import Final

from convergence.engine.services import Services
from convergence.errors import Transient

KEPT_S: Final = 1.0


class Readiness:
    """The last answer, for as long as it is fresh. Probes that come together share one look."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self.kept_until = 0.0
        self._reason: str | None = None

    async def reason(self) -> str | None:
        """Return why nothing can be done, None when all is well. Raises what the store or the configs raise."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            if loop.time() >= self.kept_until:
                self._reason = await self._look()
                self.kept_until = loop.time() + KEPT_S
            return self._reason

    async def _look(self) -> str | None:
        services = self._services
        reason = await services.trouble()
        if reason is not None:
            return reason
        try:
            await services.documents.get("orgs/readiness")
        except Transient as error:
            return str(error)
        services.catalog.names()
        return None
