"""One run that failed and is over for long, sweepers that die at any commit, and a client that replays it meanwhile.

Whatever happens in between, at the end the run is gone with all that belonged to it, or it was replayed and completed
with its finished step done once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from convergence.domain.times import to_text
from convergence.engine.replay import replay
from convergence.engine.retention.sweep import sweep
from convergence.errors import Conflict, ConvergenceError, StepFailed, Transient
from convergence.ports.documents import Patch, Write
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing


class Died(Exception):
    """A sweeper's process died."""


class RetentionWorld:
    """A world of one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = Random(seed)
        self._engine = Engine(folder)
        self._commit = self._engine.documents.commit
        self._sweeping: set[asyncio.Task[Any] | None] = set()
        self.replayed = False

    def run(self) -> None:
        """Live it, then check it. Raises `AssertionError` when it broke."""
        self._engine.run_scenario(self._live)

    async def _live(self) -> None:
        engine = self._engine
        engine.pipeline(TWO)
        engine.works["load_b"] = failing(StepFailed("no"), times=1)
        run = await engine.run()
        assert run.status == "failed"
        assert (await engine.data(run.path))["expire_at"] > to_text(engine.clock.now()), "it is kept for a while"
        await engine.documents.commit([Patch(run.path, {("expire_at",): to_text(engine.clock.now())})])
        engine.documents.commit = self._hostile  # type: ignore[method-assign]
        replaying = asyncio.ensure_future(self._replay(run.run_id))
        sweeping = asyncio.ensure_future(self._sweep())
        self._sweeping.add(sweeping)
        await asyncio.gather(replaying, sweeping)
        engine.documents.commit = self._commit  # type: ignore[method-assign]
        await engine.clock.sleep(300)  # a run that was accepted ends
        await sweep(engine.services)
        await self._check(run.run_id)

    async def _hostile(self, writes: Sequence[Write]) -> list[int]:
        await self._engine.clock.sleep(self._random.random() * 5)
        dies = asyncio.current_task() in self._sweeping and self._random.random() < 0.3
        if dies and self._random.random() < 0.5:
            raise Died
        versions = await self._commit(writes)
        if dies:
            raise Died
        return versions

    async def _sweep(self) -> None:
        for _ in range(6):
            await self._engine.clock.sleep(self._random.random() * 5)
            with suppress(Died, Conflict):
                await sweep(self._engine.services)

    async def _replay(self, run_id: str) -> None:
        await self._engine.clock.sleep(self._random.random() * 20)
        for _ in range(3):
            try:
                await replay(self._engine.services, "acme", run_id)
            except Transient:
                continue
            except (ConvergenceError, AssertionError):  # gone, or its plan is: an accepted replay reads it first
                return
            self.replayed = True
            return

    async def _check(self, run_id: str) -> None:
        documents = self._engine.documents
        run = await documents.get(f"runs/{run_id}")
        steps = {each.path for each in (await documents.query(f"runs/{run_id}/steps")).documents}
        plans = (await documents.query(f"runs/{run_id}/plan")).documents
        if not self.replayed:
            assert run is None, "it was not replayed, so it is removed"
            assert not steps, f"without their run: {steps}"
            assert not plans, "a plan without its run"
            return
        assert run is not None, "a replayed run was removed"
        assert run.data["status"] == "completed", f"a replayed run is {run.data['status']}"
        assert len(steps) == 2, f"a replayed run has the steps {steps}"
        assert plans, "a replayed run has no plan"
        assert self._engine.started.count("extract_a") == 1, "a finished step was done again"
