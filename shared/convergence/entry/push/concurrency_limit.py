"""Limit how many deliveries one instance processes at a time, and drain them when it stops.

A delivery over the limit is refused before anything is read or claimed. After SIGTERM Cloud Run gives ten seconds
(container contract, "Instance shutdown"): new ones are refused, current ones may finish, the rest are cancelled. A
cancelled one gives its claim up, or, if it no longer can, keeps it until the lease expires; the reconciler
dispatches the step again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from convergence.errors import Throttled, Transient

DRAIN_S: Final = 9.0  # of the ten: the answers have to go out too
_FULL_RETRY_S: Final = 1.0
T = TypeVar("T")


class ConcurrencyLimit:
    """Runs at most `limit` deliveries at a time."""

    def __init__(self, limit: int, *, drain_s: float = DRAIN_S) -> None:
        self.limit = limit
        self.closed = False
        self._drain_s = drain_s
        self._inside: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], *, limit_s: float) -> T:
        """Return what `work` returns.

        It runs as a separate task, so that it can be cancelled while its caller still answers.

        Raises:
            Throttled: the instance is full; nothing was started.
            Transient: the instance is stopping, or `limit_s` have passed.
        """
        refusal = self._refusal()
        if refusal is not None:
            work.close()  # it will not run, and Python warns about coroutines that were never awaited
            raise refusal
        task = asyncio.create_task(work)
        self._inside.add(task)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit_s)
            if not done:
                task.cancel("the function's time limit is reached")
                await asyncio.wait({task})
            if task.cancelled():
                reason = "this instance is stopping" if self.closed else f"not done within {limit_s:g} s"
                raise Transient(f"{reason}; the message will be delivered again")
            return task.result()
        finally:
            task.cancel()  # no effect when it is done; otherwise its caller was cancelled
            self._inside.discard(task)

    def drain(self) -> None:
        """Refuse new deliveries, and cancel those that are still running after the drain time."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_later(self._drain_s, self._let_go)

    def _refusal(self) -> Transient | None:
        if self.closed:
            return Throttled(
                "this instance is stopping; another one will take the delivery", retry_after_s=_FULL_RETRY_S
            )
        if len(self._inside) >= self.limit:
            full = f"this instance has {self.limit} deliveries in progress, which is its limit"
            return Throttled(full, retry_after_s=_FULL_RETRY_S)
        return None

    def _let_go(self) -> None:
        for task in self._inside:
            task.cancel("the process is stopping")
