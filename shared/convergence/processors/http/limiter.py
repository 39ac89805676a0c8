"""Calls to one host with one credential, spaced out over all steps of this process."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

import httpx

from convergence.ports.processor import Context

Key = tuple[str, str, str]  # org, credential, host


class Limiter:
    """Gives out slots, at least `1 / requests_per_second` apart; a pause holds for all who share the limiter."""

    def __init__(self) -> None:
        self._free_at: datetime | None = None

    async def wait(self, context: Context, requests_per_second: float | None) -> None:
        """Wait for the next free slot."""
        now = context.now()
        at = now if self._free_at is None else max(now, self._free_at)
        if requests_per_second:
            self._free_at = at + timedelta(seconds=1 / requests_per_second)
        if at > now:
            await context.sleep((at - now).total_seconds())

    def pause(self, until: datetime) -> None:
        """Hand out no slot before `until`, as the server requested."""
        if self._free_at is None or until > self._free_at:
            self._free_at = until


# They exist as long as the process's client, and are shared by all who call through it.
_LIMITERS: Final[WeakKeyDictionary[httpx.AsyncClient, dict[Key, Limiter]]] = WeakKeyDictionary()


def limiter(client: httpx.AsyncClient, key: Key) -> Limiter:
    """Return the limiter of (org, credential, host)."""
    return _LIMITERS.setdefault(client, {}).setdefault(key, Limiter())
