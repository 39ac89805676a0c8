"""The machine's clock and randomness."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime


class SystemClock:
    """Wall clock of the machine."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads the wall clock

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class RandomIds:
    """Ids and random numbers from the operating system, fetched for many ids at once."""

    def __init__(self) -> None:
        self._pool = ""
        self._at = 0

    def new(self, prefix: str) -> str:
        """Return `{prefix}_{20 characters}`: 80 random bits in hexadecimal."""
        if self._at >= len(self._pool):
            self._pool, self._at = os.urandom(10 * 256).hex(), 0
        self._at += 20
        return f"{prefix}_{self._pool[self._at - 20 : self._at]}"

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return int.from_bytes(os.urandom(6), "big") / 2**48
