"""Take turns at work that repeats itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Work that repeats itself: one does it, one waits to do it, and what comes meanwhile is covered by the latter."""

    def __init__(self) -> None:
        self.waiting = False
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for those before; to be entered only while none is `waiting`."""
        self.waiting = self._lock.locked()
        try:
            await self._lock.acquire()
        finally:
            self.waiting = False
        try:
            yield
        finally:
            self._lock.release()
