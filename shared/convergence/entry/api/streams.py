"""Limit the number of open event streams, per org and per process."""

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
        """Reserve a stream for an org. Raises `RateLimited` (the org's limit) or `Transient` (this process's limit)."""
        if self._open[org] >= self._most_per_org:
            message = f"{org} has {self._most_per_org} event streams open, which is the limit; close one first."
            raise RateLimited(message, retry_after_s=_RETRY_S)
        if self._open.total() >= self._most:
            raise _Full(
                f"This process has {self._most} event streams open, its limit; try again, or poll the run's status."
            )
        self._open[org] += 1

    @property
    def open(self) -> int:
        """How many streams are open, of all orgs."""
        return self._open.total()

    def leave(self, org: str) -> None:
        """Release a stream."""
        self._open[org] -= 1
        if not self._open[org]:
            del self._open[org]
