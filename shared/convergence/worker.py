"""One process that does all the work of an installation: it delivers, executes and reconciles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from typing import Final

from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.absence import note_alive
from convergence.engine.reconcile import count_unclosed, next_check, reconcile, reconcile_each, reconcile_run
from convergence.engine.retention.sweep import sweep_due
from convergence.engine.schedules.sync import sync_all
from convergence.engine.services import Services
from convergence.engine.store import require_run
from convergence.engine.tick import admit_due, fire_schedules
from convergence.engine.topic_handlers import handlers
from convergence.engine.webhooks.send import hint_due
from convergence.errors import Transient
from convergence.ports.bus import (
    DEAD_LETTER,
    DISPATCH,
    QUEUE_CHANGED,
    RUN_EVENTS,
    STEP_READY,
    WEBHOOK_READY,
    DeliveringBus,
    Message,
    RetryPolicy,
)

logger = logging.getLogger(__name__)
_COMPLETED: Final = f"run.{RunStatus.COMPLETED}"
_PASS_MAX_S: Final = 5.0
_PASS_MIN_S: Final = 0.2
_SYNC_EVERY_S: Final = 60.0
_TROUBLE_MAX_S: Final = 10.0  # a file system may be full for a moment


class _Waiting:
    """A caller that waits for a run; `over` when only its end steps are left."""

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        self.over = False
        self.trouble: str | None = None  # the reason why the run cannot continue for now


class LocalWorker:
    """Handlers on the bus of this process, and the reconciler beside them."""

    def __init__(
        self,
        services: Services,
        bus: DeliveringBus,
        *,
        steps_max: int = 64,
        sweep: Callable[[], None] | None = None,
        schedules: bool = False,
    ) -> None:
        """With `schedules`, due schedules fire here.

        `sweep` drops staged rows; called at a start that finds no run with work left, when none can need them."""
        self.services = services
        self._sweep = sweep
        self._bus = bus
        handler = handlers(services)
        bus.subscribe(STEP_READY, handler[STEP_READY], RetryPolicy(), outstanding_max=steps_max)
        bus.subscribe(DISPATCH, handler[DISPATCH], RetryPolicy())
        bus.subscribe(QUEUE_CHANGED, handler[QUEUE_CHANGED], RetryPolicy(), outstanding_max=16)
        bus.subscribe(WEBHOOK_READY, handler[WEBHOOK_READY], RetryPolicy(), outstanding_max=32)
        self._schedules = schedules
        bus.subscribe(DEAD_LETTER, handler[DEAD_LETTER], RetryPolicy(dead_letter_topic=None))
        bus.tap(RUN_EVENTS, self._moved)
        self._uncounted: set[str] = set()  # completed runs whose rows are not counted yet
        self._waiting: dict[str, list[_Waiting]] = {}  # each with its own event, so that none clears another's
        self.reconciling: asyncio.Task[None] | None = None  # until `close`
        self._troubled_since: datetime | None = None
        self._synced_at: datetime | None = None

    async def start(self) -> int:
        """Resume every run with work left, then keep reconciling. Return how many there are.

        It does not wait for them: with many left, new runs come between.
        """
        await note_alive(self.services, started=True)
        left = await count_unclosed(self.services)
        if self._sweep is not None and not left:
            self._sweep()
        self.reconciling = asyncio.create_task(self._reconcile())
        return left

    async def wait(self, org: str, run_id: str, *, timeout_s: float | None = None, with_end_steps: bool = True) -> Run:
        """Return the run when it is terminal, and with `with_end_steps` its end steps are done and its rows counted.

        At the timeout, return it as it is then.

        Raises:
            Transient: nothing can be written for a while already, as on a full disk.
        """
        waiting = _Waiting()
        self._waiting.setdefault(run_id, []).append(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    waiting.moved.clear()
                    run = await (self._ended(org, run_id) if with_end_steps else self._run(org, run_id))
                    if run.check_at is None or (run.terminal and not with_end_steps):
                        return run
                    waiting.over = run.terminal
                    await waiting.moved.wait()
                    if waiting.trouble is not None:
                        raise Transient(f"{waiting.trouble}. The run is kept, and continues once that is fixed")
        except TimeoutError:
            return await self._run(org, run_id)
        finally:
            self._waiting[run_id].remove(waiting)
            if not self._waiting[run_id]:
                del self._waiting[run_id]

    async def _run(self, org: str, run_id: str) -> Run:
        return (await require_run(self.services, org, run_id)).run

    async def _ended(self, org: str, run_id: str) -> Run:
        run = await self._run(org, run_id)
        if run.terminal:  # the reconciler would come by in a minute; a caller that waits needs the totals now
            await reconcile_run(self.services, run_id)
            run = await self._run(org, run_id)
        return run

    def _moved(self, messages: Sequence[Message]) -> None:
        """Wake the callers that wait for a run: at its moves, and at those of its end steps once it is over."""
        self._uncounted |= {each.attributes["run_id"] for each in messages if each.attributes["type"] == _COMPLETED}
        if self._waiting:
            for message in messages:
                for waiting in self._waiting.get(message.attributes["run_id"], ()):
                    if waiting.over or message.attributes["type"].startswith("run."):
                        waiting.moved.set()

    async def drain(self, timeout_s: float) -> bool:
        """Begin no step more and wait for those at work; False when some were not done in time."""
        drained = await self._bus.drain(timeout_s)
        await self._close_completed()
        return drained

    async def _close_completed(self) -> None:
        """Count the rows of runs that have completed since the last time: the reconciler would come in a minute.

        Those that failed are left to it, as steps beside the failed one may still load.
        """
        completed, self._uncounted = self._uncounted, set()
        await reconcile_each(self.services, completed)

    async def close(self) -> None:
        """Stop. Steps that still run stay claimed: the next start takes them up."""
        if self.reconciling is not None:
            self.reconciling.cancel()
            await asyncio.gather(self.reconciling, return_exceptions=True)
        await self._bus.close()

    async def _reconcile(self) -> None:
        taken_up = False
        while True:
            try:
                await self._tell_of_trouble()
                if taken_up:
                    await self._pass()
                else:
                    await reconcile(self.services, everything=True)
                    taken_up = True
                    await self._begin_due()  # a process that is killed every few seconds fires and admits, too
            except Exception as error:
                logger.warning("reconciling failed, trying again: %s", error, exc_info=error)
                await self.services.clock.sleep(_PASS_MAX_S)

    async def _tell_of_trouble(self) -> None:
        """Stop waiting for what cannot be written; steps and the reconciler keep trying."""
        reason, now = await self.services.trouble(), self.services.clock.now()
        if reason is None:
            self._troubled_since = None
            return
        self._troubled_since = self._troubled_since or now
        if (now - self._troubled_since).total_seconds() >= _TROUBLE_MAX_S:
            for waiting in chain.from_iterable(self._waiting.values()):
                waiting.trouble = reason
                waiting.moved.set()

    async def _sync(self) -> None:
        """Follow the pipelines' files: at the start, then once a minute."""
        now = self.services.clock.now()
        if self._synced_at is None or (now - self._synced_at).total_seconds() >= _SYNC_EVERY_S:
            await sync_all(self.services)
            self._synced_at = now

    async def _pass(self) -> None:
        due = await next_check(self.services)
        wait_s = _PASS_MAX_S if due is None else (due - self.services.clock.now()).total_seconds()
        await self.services.clock.sleep(min(_PASS_MAX_S, max(_PASS_MIN_S, wait_s)))
        await note_alive(self.services)
        await self._close_completed()
        await reconcile(self.services)
        await self._begin_due()
        await hint_due(self.services)
        await sweep_due(self.services)

    async def _begin_due(self) -> None:
        """Fire the schedules that are due, and admit the runs for which there is room."""
        if self._schedules:
            await self._sync()
            await fire_schedules(self.services)
        await admit_due(self.services)
