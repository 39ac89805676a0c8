"""The retry that adapters over a network share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from convergence.errors import Transient
from convergence.ports.clock import Clock, Ids

T = TypeVar("T")

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0


async def retried(
    attempt: Callable[[], Awaitable[T]],
    *,
    clock: Clock,
    ids: Ids,
    total_s: float,
) -> T:
    """Call `attempt` until it answers, while it raises `Transient`, for at most about `total_s` seconds.

    Each attempt carries its own timeout. Between two, waits a random share of a pause that doubles from 0.1 s to
    5 s (full jitter: callers that failed together do not come back together).

    Raises:
        Transient: the last one, when the time is over. Any other error is raised at once.
    """
    end = clock.now() + timedelta(seconds=total_s)
    pause_s = _FIRST_WAIT_S
    while True:
        try:
            return await attempt()
        except Transient:
            wait_s = pause_s * ids.fraction()
            if clock.now() + timedelta(seconds=wait_s) >= end:
                raise
        await clock.sleep(wait_s)
        pause_s = min(2 * pause_s, _LONGEST_WAIT_S)
