"""Time, ids and randomness. The core has no other source of them, so a simulation controls all three."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall clock."""

    def now(self) -> datetime:
        """Return the time, in UTC, with zone."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class Ids(Protocol):
    """Fresh ids and randomness."""

    def new(self, prefix: str) -> str:
        """Return `{prefix}_{random}`: at least 80 random bits, lower case letters and digits, never twice."""
        ...

    def fraction(self) -> float:
        """Return a number in [0, 1), for jitter."""
        ...
