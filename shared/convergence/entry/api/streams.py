"""How many event streams may be open at once, for an org and in this process."""

from __future__ import annotations

from collections import Counter
from typing import Final

from convergence.errors import RateLimited, Transient

_RETRY_S: Final = 5.0


class _Full(Transient):
    """This process has no room for another stream; another one may have."""

    retry_after_s = _RETRY_S


class Streams:
    """The streams that are open in this process."""

    def __init__(self, *, most: int, most_per_org: int) -> None:
        self._most = most
        self._most_per_org = most_per_org
        self._open: Counter[str] = Counter()

    def enter(self, org: str) -> None:
        """Take a place for a stream of an org. Raises `RateLimited` (the org's are taken) or `Transient` (all are)."""
        if self._open[org] >= self._most_per_org:
            message = f"{org} has {self._most_per_org} event streams open, its most; close one first."
            raise RateLimited(message, retry_after_s=_RETRY_S)
        if self._open.total() >= self._most:
            raise _Full(
                f"This process has {self._most} event streams open, its most; try again, or ask for the status."
            )
        self._open[org] += 1

    def leave(self, org: str) -> None:
        """Give a place back."""
        self._open[org] -= 1
        if not self._open[org]:
            del self._open[org]
