"""Tracks whether all dependencies of a step are done; checked after each finished sibling, so it must be cheap.

Read naively, d finishers × d siblings is quadratic (design: docs/engine.md §6, wide joins). Here each process goes
around the siblings once: it stops at the first that is not done, and the next check begins there, because what is done
stays done. While that one sibling is not done, one read answers; in all a join costs a process O(d) reads, however many
finish. This is only about time: whether a step may start is decided at its claim. The end of a run has no claim, so it
is decided by the documents of all dependencies.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from convergence.domain.run import Run
from convergence.domain.status import STEP_DONE
from convergence.ports.documents import Documents

_CHUNK_MAX: Final = 64  # documents of one read; a step's may be as large as its result
_DONE: Final = frozenset(status.value for status in STEP_DONE)
_RUNS_MAX: Final = 1000
FINISH: Final = ""  # the join of a run's last steps has no child step


@dataclass(slots=True)
class _Looks:
    """The looks of this process at one join: they come one after the other, each from where the last one stopped."""

    first: int  # the sibling at which this process began
    passed: int = 0  # siblings from there on that are done
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: int = 0
    answered: int = 0  # the last look that got its answer


@dataclass(slots=True)
class _Run:
    looks: dict[str, _Looks] = field(default_factory=dict)
    woken: set[str] = field(default_factory=set)


class FanInTracker:
    """Witnesses and woken joins of this process, for the runs it saw last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, int], _Run] = OrderedDict()

    def woken(self, run: Run, child: str) -> bool:
        """True when this process has woken `child` in this epoch already."""
        state = self._runs.get((run.run_id, run.epoch))
        return state is not None and child in state.woken

    def mark_woken(self, run: Run, child: str) -> None:
        """Remember that `child` was woken. Call it only after the publish returned."""
        self._memory(run).woken.add(child)

    def forget(self, run: Run) -> None:
        """Drop a run that ended."""
        self._runs.pop((run.run_id, run.epoch), None)

    def _memory(self, run: Run) -> _Run:
        state = self._runs.get((run.run_id, run.epoch))
        if state is None:
            state = self._runs[run.run_id, run.epoch] = _Run()
            if len(self._runs) > _RUNS_MAX:
                self._runs.popitem(last=False)
        return state

    async def complete(self, documents: Documents, run: Run, child: str, siblings: Sequence[str], me: str) -> bool:
        """Return True when all `siblings` are done; `me` just committed that it is.

        Of callers that share a read only the one that made it gets True; when it fails to act on it, its message is
        redelivered.
        """
        if siblings == (me,):
            return True
        looks = self._looks(run, child, siblings, me)
        before = looks.begun
        async with looks.lock:
            if looks.answered > before:  # by a look that began after `me` had committed
                return False
            looks.begun += 1
            complete = await _look(documents, run, looks, siblings, me)
            looks.answered = looks.begun
            return complete

    def _looks(self, run: Run, child: str, siblings: Sequence[str], me: str) -> _Looks:
        known = self._memory(run).looks
        if child not in known:  # after itself, so that finishers in different processes read different siblings
            known[child] = _Looks(first=siblings.index(me) + 1 if me in siblings else 0)
        return known[child]


async def _look(documents: Documents, run: Run, looks: _Looks, siblings: Sequence[str], me: str) -> bool:
    """Look at the siblings in turn, up to the first that is not done; True when all are."""
    chunk = 1
    while looks.passed < len(siblings):
        size = min(chunk, len(siblings) - looks.passed)
        names = [siblings[(looks.first + looks.passed + i) % len(siblings)] for i in range(size)]
        found = await documents.get_many([f"{run.path}/steps/{name}" for name in names])
        for name, document in zip(names, found, strict=True):
            if name != me and (document is None or document.data["status"] not in _DONE):
                return False
            looks.passed += 1
        chunk = min(2 * chunk, _CHUNK_MAX)
    return True
