"""How many deliveries one instance has in work, and how it stops.

A delivery over the limit is refused before anything is read or claimed. After SIGTERM Cloud Run gives ten seconds
(container contract, "Instance shutdown"): none is let in, those at work may finish, the rest is let go. What is let
go keeps its claim; the lease runs out and the reconciler sends it to somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from convergence.errors import Throttled, Transient

DRAIN_S: Final = 9.0  # of the ten: the answers have to go out too
_FULL_RETRY_S: Final = 1.0
T = TypeVar("T")


class Gate:
    """Lets at most `limit` deliveries in at a time."""

    def __init__(self, limit: int, *, drain_s: float = DRAIN_S) -> None:
        self.limit = limit
        self.closed = False
        self._drain_s = drain_s
        self._inside: set[asyncio.Task[Any]] = set()

    async def through(self, work: Coroutine[Any, Any, T], *, limit_s: float) -> T:
        """Return what `work` returns.

        It is a task of its own, so that it can be let go while its caller still answers.

        Raises:
            Throttled: the instance is full; nothing was begun.
            Transient: the instance stops, or `limit_s` are over.
        """
        refusal = self._refusal()
        if refusal is not None:
            work.close()  # it will not run, and Python complains of coroutines that nobody closed
            raise refusal
        task = asyncio.create_task(work)
        self._inside.add(task)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit_s)
            if not done:
                task.cancel("the time of the function is over")
                await asyncio.wait({task})
            if task.cancelled():
                reason = "this instance stops" if self.closed else f"not done within {limit_s:g} s"
                raise Transient(f"{reason}; the delivery comes again")
            return task.result()
        finally:
            task.cancel()  # nothing when it is done; else its caller was cancelled
            self._inside.discard(task)

    def drain(self) -> None:
        """Let nobody in any more; let those go that are still inside after the time that is left."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_later(self._drain_s, self._let_go)

    def _refusal(self) -> Transient | None:
        if self.closed:
            return Throttled("this instance stops; another one takes the delivery", retry_after_s=_FULL_RETRY_S)
        if len(self._inside) >= self.limit:
            full = f"this instance has {self.limit} deliveries in work, its most"
            return Throttled(full, retry_after_s=_FULL_RETRY_S)
        return None

    def _let_go(self) -> None:
        for task in self._inside:
            task.cancel("the process stops")
