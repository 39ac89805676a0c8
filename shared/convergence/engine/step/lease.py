"""The right to work on a step: renewed while the processor runs, lost when another owner takes over."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Self

from convergence.domain.records import changed
from convergence.domain.status import StepStatus
from convergence.domain.step import Step
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, StoredStep, commit, read_run, read_steps, step_path
from convergence.errors import Conflict, LeaseLost
from convergence.ports.documents import Replace

logger = logging.getLogger(__name__)


class Lease:
    """Holds a claimed step for as long as the `async with` block runs.

    A step shorter than the renewal interval costs no renewal. A renewal reads the run too, so a cancel reaches a
    running processor: the block is cancelled and `stopped` is the reason. The same timer enforces `limit`, the
    seconds that the block may take and whose limit that is: then `timed_out` is set and the block is cancelled.
    """

    def __init__(
        self, services: Services, run: StoredRun, record: str, held: StoredStep, *, limit: tuple[float, str]
    ) -> None:
        self._services = services
        self._run = run.run
        self._record = record
        self.held = held
        self.stopped: str | None = None
        self.timed_out = False
        self.loading = False  # set while rows are made visible; each renewal stores it for readers of the run
        self.limit_s, self.limited_by = limit
        self._ends_at = asyncio.get_running_loop().time() + self.limit_s
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._left = False

    async def __aenter__(self) -> Self:
        """Begin."""
        self._task = asyncio.current_task()
        self._services.cache.leases[self._run.run_id, self._record] = self
        self._arm()
        return self

    async def __aexit__(self, *error: object) -> None:
        """End: after this the version in `held` is the one to commit against."""
        self._left = True
        leases, key = self._services.cache.leases, (self._run.run_id, self._record)
        if leases.get(key) is self:
            del leases[key]
        if self._timer is not None:
            self._timer.cancel()
        renewal = self._renewal
        if renewal is not None and not renewal.done():
            await asyncio.wait({renewal})  # its commit moves the version; cutting it off would lose that

    async def check(self) -> None:
        """Raise `LeaseLost` unless this execution still owns the step. Called before each write to the warehouse."""
        until = self.held.step.lease_until
        if self.stopped is not None or until is None or until <= self._services.clock.now():
            raise LeaseLost(f"step {self._record}: {self.stopped or 'the lease ran out'}; the next owner goes on")

    def stop(self, reason: str) -> None:
        """Cancel the block."""
        if self.stopped is None:
            self.stopped = reason
            self._cancel()

    def _arm(self) -> None:
        if self._left:
            return
        loop = asyncio.get_running_loop()
        due = min(loop.time() + self._services.settings.renew_s, self._ends_at)
        self._timer = loop.call_at(due, self._due)

    def _due(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._ends_at:
            self.timed_out = True
            self._cancel()
        else:
            self._renewal = loop.create_task(self._renew())

    def _cancel(self) -> None:
        if self._task is not None and not self._left:
            self._task.cancel()

    async def _renew(self) -> None:
        """Extend the lease, or stop the block. When that fails, it is tried again next time."""
        try:
            reason = await self.renew_once()
        except Exception as error:  # noqa: BLE001 - an execution without renewal and time limit would be worse
            logger.warning("%s/%s: lease not renewed: %s", self._run.run_id, self._record, error)
            reason = None
        if reason is not None:
            self.stop(reason)
        else:
            self._arm()

    async def renew_once(self) -> str | None:
        """Extend the lease by one commit; return the reason why the execution has to stop, None to go on."""
        services = self._services
        current = await read_run(services, self._run.run_id)
        if current is None or current.run.epoch != self._run.epoch:
            return "the run was replayed"
        if current.run.terminal and not self._run.terminal:
            return f"the run is {current.run.status}"
        token = services.ids.new("t")
        until = services.clock.now() + timedelta(seconds=services.settings.lease_s)
        step = changed(self.held.step, lease_until=until, loading=self.loading, token=token)
        write = Replace(step_path(self._run, self._record), self.held.version, step.to_data())
        try:
            (version,) = await commit(services.documents, [write], token)
        except Conflict:
            return await self._reason_lost()
        self.held = StoredStep(step, version)
        return None

    async def _reason_lost(self) -> str:
        (now,) = await read_steps(self._services, self._run, [self._record])
        if now is not None and now.step.status is StepStatus.RUNNING:
            return "another owner took over"
        return "the step has moved on"


def is_leased(services: Services, run_id: str, record: str, step: Step) -> bool:
    """True while an owner may be alive. Embedded, owners of earlier boots are dead: this one has the lock.

    A lease that could not be renewed (the process was stopped, or its disk is full) does not mean that its owner
    died if that is this process, and it is still at work.
    """
    if step.lease_owner == services.owner and (run_id, record) in services.cache.at_work:
        return True
    if services.settings.sole_process and step.lease_owner != services.owner:
        return False
    return step.leased(services.clock.now())
