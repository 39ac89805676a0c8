"""The machine's clock and randomness."""

from __future__ import annotations

import asyncio
import base64
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
    """Ids and chance from the operating system."""

    def new(self, prefix: str) -> str:
        """Return `{prefix}_{16 characters}`: 80 random bits in lower-case base 32."""
        return f"{prefix}_{base64.b32encode(os.urandom(10)).decode().lower()}"

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return int.from_bytes(os.urandom(6), "big") / 2**48
