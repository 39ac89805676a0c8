"""Is everybody done that a step waits for? Asked after each finished sibling, so it must be cheap.

Read naively, d finishers × d siblings is quadratic (design: engine.md §6, wide joins). Here each process watches
one sibling known not to be done, the witness: while it is not done, one read answers. When it is, the search
goes on behind it, so a join costs a process O(d) reads in all, however many finish. This is only about time:
whether a step may start is decided at its claim.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from convergence.domain.run import Run
from convergence.domain.status import STEP_DONE
from convergence.ports.documents import Documents, Where

_SCAN_MAX: Final = 32
_DONE: Final = sorted(status.value for status in STEP_DONE)
_RUNS_MAX: Final = 1000
FINISH: Final = ""  # the join of a run's last steps has no child step


@dataclass(slots=True)
class _Looks:
    """The looks of this process at one join: they come one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: int = 0
    answered: int = 0  # the last look that got its answer


@dataclass(slots=True)
class _Run:
    witnesses: dict[str, int] = field(default_factory=dict)
    looks: dict[str, _Looks] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)


class Joins:
    """Witnesses and released joins of this process, for the runs it saw last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, int], _Run] = OrderedDict()

    def released(self, run: Run, child: str) -> bool:
        """True when this process has woken `child` in this epoch already."""
        memory = self._runs.get((run.run_id, run.epoch))
        return memory is not None and child in memory.released

    def release(self, run: Run, child: str) -> None:
        """Remember that `child` was woken. Call it only after the publish returned."""
        self._memory(run).released.add(child)

    def forget(self, run: Run) -> None:
        """Drop a run that ended."""
        self._runs.pop((run.run_id, run.epoch), None)

    def _memory(self, run: Run) -> _Run:
        memory = self._runs.get((run.run_id, run.epoch))
        if memory is None:
            memory = self._runs[run.run_id, run.epoch] = _Run()
            if len(self._runs) > _RUNS_MAX:
                self._runs.popitem(last=False)
        return memory

    async def complete(self, documents: Documents, run: Run, child: str, siblings: Sequence[str], me: str) -> bool:
        """Return True when all `siblings` are done; `me` just committed that it is.

        Reads at most 32 documents, then one count. Of those who share a look only the one that looked is told True;
        when it fails to act on it, its message comes again.
        """
        if siblings == (me,):
            return True
        looks = self._memory(run).looks.setdefault(child, _Looks())
        before = looks.begun
        async with looks.lock:
            if looks.answered > before:  # by a look that began after `me` had committed
                return False
            looks.begun += 1
            complete = await self._look(documents, run, child, siblings, me)
            looks.answered = looks.begun
            return complete

    async def _look(self, documents: Documents, run: Run, child: str, siblings: Sequence[str], me: str) -> bool:
        witnesses = self._memory(run).witnesses
        start = witnesses.get(child)
        if start is None:
            start = siblings.index(me) + 1 if me in siblings else 0
        seen, chunk = 0, 1
        while seen < min(len(siblings), _SCAN_MAX):
            names = [
                siblings[(start + seen + i) % len(siblings)]
                for i in range(min(chunk, len(siblings) - seen, _SCAN_MAX - seen))
            ]
            found = await documents.get_many([f"{run.path}/steps/{name}" for name in names])
            for i, document in enumerate(found):
                if names[i] != me and (document is None or document.data["status"] not in _DONE):
                    witnesses[child] = (start + seen + i) % len(siblings)
                    return False
            seen += len(names)
            chunk *= 2
        if seen >= len(siblings):
            return True
        witnesses[child] = (start + seen) % len(siblings)
        where = [Where("children", "array-contains", child), Where("status", "in", _DONE)]
        return await documents.count(f"{run.path}/steps", where=where) >= len(siblings)
