"""Wait for runs and show how they go: bars on a terminal, a line for each move elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.engine.tick import admit_due
from convergence.engine.views import runs as views
from convergence.engine.views.models import Move
from convergence.entry.cli.installation import Writer
from convergence.entry.cli.output import Output, first_line, plain_terminal
from convergence.entry.cli.rows import Rows
from convergence.ports.documents import Order, Where

TICK_S: Final = 0.1
_UNDER_WAY_MAX: Final = 50
_WAIT_S: Final = 60.0
_LOOKS: Final = 20  # at runs that are all queued
REST: Final = 9  # a look may take a tenth of the time, so wide runs are looked at less often


class Display(Protocol):
    """Shows runs as they move."""

    async def show(self, services: Services, runs: Sequence[Run]) -> None:
        """Look once, and show it."""
        ...

    def close(self) -> None:
        """Leave the screen in order."""
        ...


class Silent:
    """For programs: they read the result."""

    async def show(self, services: Services, runs: Sequence[Run]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to do."""


class Lines:
    """One line on stderr for each move that was not seen before."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._seen: set[tuple[str, str | None, str, str]] = set()
        self._since: dict[str, str] = {}

    async def show(self, services: Services, runs: Sequence[Run]) -> None:
        """Print what is new."""
        for run in runs:
            since = self._since.setdefault(run.run_id, replayed_at(run))
            for move in await views.transitions(services, run.org, run.run_id):
                key = (run.run_id, move["step_id"], move["at"], move["status"])
                if move["at"] >= since and key not in self._seen:
                    self._seen.add(key)
                    self._out.note(move_line(move, run.run_id))

    def close(self) -> None:
        """Nothing to do."""


def replayed_at(run: Run) -> str:
    """Return when the latest replay of a run began, as its moves have it: they are new from then on; else empty."""
    return str(run.transitions[-1][0]) if run.epoch and run.transitions else ""


def move_line(move: Move | Mapping[str, Any], run_id: str) -> str:
    """Return a move of a run or a step of it as one line."""
    who = move["step_id"] or run_id
    return f"{move['at'][11:23]}  {who:<24}  {move['status']:<10}  {first_line(move['why'])}"


def display(out: Output, rows: Rows) -> Display:
    """Return what fits: nothing for programs, bars for a terminal, lines for the rest."""
    if out.json:
        return Silent()
    if sys.stderr.isatty() and sys.stdout.isatty() and not plain_terminal():
        from convergence.entry.cli.bars import Bars

        return Bars(rows)
    return Lines(out)


async def follow(writer: Writer, runs: Sequence[Run], show: Display) -> list[Run]:
    """Return the runs, then those that they started (`then`), when nothing is left to do for them, shown on the way.

    One that stays queued is returned as it is: a pause or a limit holds it, and no process needs to wait for that.
    """
    known = {name for run in runs for name in (run.run_id, *run.children)}
    left, ended = [run.run_id for run in runs], list[Run]()
    try:
        while left and (ready := await _admitted(writer.services, left)):
            done = await _followed(writer, ended, ready, show)
            ended += done
            new = [name for run in done for name in run.children if name not in known]
            known |= {*new}
            names = {run.run_id for run in done}
            left = [name for name in left if name not in names] + new
        return ended + await stored_runs(writer.services, left)
    finally:
        show.close()


async def under_way(services: Services) -> list[Run]:
    """Return runs that are at work in this data directory, so in this process; their ends make room for others."""
    where = [Where("check_at", ">", "")]
    page = await services.documents.query("runs", where=where, order=[Order("check_at")], limit=_UNDER_WAY_MAX)
    runs = [Run.from_data(document.data) for document in page.documents]
    return [run for run in runs if run.status is RunStatus.RUNNING]


async def wait_for_one(writer: Writer, runs: Sequence[Run]) -> None:
    """Wait until one of the runs has ended, or a minute. Raises `Transient` as the worker's `wait` does."""
    waiting = [asyncio.ensure_future(writer.worker.wait(run.org, run.run_id, timeout_s=_WAIT_S)) for run in runs]
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class Waits:
    """Says on stderr what is waited for, each reason once."""

    def __init__(self, out: Output) -> None:
        """Say nothing yet."""
        self._out, self._printed = out, set[str]()

    def say(self, subject: str, reason: str, runs: Sequence[Run]) -> None:
        """Say that `subject` waits, and which runs are under way, whose ends make room."""
        if reason in self._printed or self._out.json:
            return
        self._printed.add(reason)
        until = [f"{run.run_id} of {run.org}, until {to_text(run.deadline_at)[:16]}Z at the latest" for run in runs[:3]]
        more = f", and {len(runs) - 3:,} more" if len(runs) > 3 else ""
        at_work = f" Under way: {'; '.join(until)}{more}. Ctrl-C leaves the rest to: convergence resume" if runs else ""
        self._out.note(f"{subject} waits for {reason}{at_work}")


async def stored_runs(services: Services, run_ids: Sequence[str]) -> list[Run]:
    """Return the runs that are stored."""
    documents = await services.documents.get_many([f"runs/{run_id}" for run_id in run_ids]) if run_ids else []
    return [Run.from_data(document.data) for document in documents if document is not None]


async def _admitted(services: Services, run_ids: Sequence[str]) -> list[Run]:
    """Return those that are not queued; where all are, after a while in which they could have been admitted."""
    for _ in range(_LOOKS):
        runs = await stored_runs(services, run_ids)
        ready = [run for run in runs if run.status is not RunStatus.QUEUED]
        if ready or not runs:
            return ready
        await admit_due(services)
        await asyncio.sleep(TICK_S)
    return []


async def _followed(writer: Writer, before: Sequence[Run], runs: Sequence[Run], show: Display) -> list[Run]:
    loop = asyncio.get_running_loop()
    waiting = asyncio.gather(*(writer.worker.wait(run.org, run.run_id) for run in runs))
    try:
        while not waiting.done():
            began = loop.time()
            await show.show(writer.services, [*before, *runs])
            pause_s = max(TICK_S, REST * (loop.time() - began))
            await asyncio.wait([waiting], timeout=pause_s)
        ended = await waiting
        await show.show(writer.services, [*before, *ended])
        return ended
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
