"""Runs that failed, users who replay some, a replay of all of them, and one who discards by filter until none is open.

The replays and the one who discards die at any commit. Whatever happens in between: no dead letter is discarded whose
run was replayed before, the replay of all moves each run on from the failure that it was asked about, once, and at the
end nothing of that time is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

from convergence.domain.dead_letter import DeadLetterState
from convergence.engine.dead_letters.discards import discard_all
from convergence.engine.dead_letters.feed_replays import feed_replays
from convergence.engine.dead_letters.find import Filter, find
from convergence.engine.dead_letters.replays import ReplaysRequest, create
from convergence.engine.replay import replay
from convergence.errors import Conflict, ConvergenceError, StepFailed
from convergence.ports.documents import Create, Patch, Replace, Write
from convergence.ports.processor import Context
from tests.simulation.dead_letters.hostile import Died, HostileCommits
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO

RUNS: Final = 3
TURNS: Final = 8
SLOW_S: Final = 30.0  # a commit of theirs, while a whole run goes on beside it
DEATH: Final = 0.2  # of a process, at one of its commits


class DeadLetterWorld:
    """A world of one seed. `seen` says what became of the dead letters, for a look at many worlds."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = Random(seed)
        folder.mkdir()
        self._engine = Engine(folder)
        self._commit = self._engine.documents.commit
        self._hostile = HostileCommits(
            self._engine, self._random, self._observed, slow_s=SLOW_S, others_s=1.0, death=DEATH
        )
        self._users: set[asyncio.Task[Any] | None] = set()
        self._epochs: dict[str, int] = {}  # by path of a run
        self._fails = 1.0  # how often the step of a replay does
        self._wrong: list[str] = []
        self.seen: set[str] = set()

    def run(self) -> None:
        """Live it, then check it. Raises `AssertionError` when it broke."""
        self._engine.run_scenario(self._live)

    async def _live(self) -> None:
        engine, services = self._engine, self._engine.services
        engine.pipeline(TWO)
        engine.works["load_b"] = self._work
        runs = [await engine.run() for _ in range(RUNS)]
        self._epochs = {run.path: run.epoch for run in runs}
        await engine.clock.sleep(1)
        asked = Filter(org="acme", before=engine.clock.now())
        made = await create(services, ReplaysRequest(criteria=asked, per_minute=600, failures_max=100))
        self._fails = self._random.choice([0.2, 0.8])
        engine.documents.commit = self._hostile  # type: ignore[method-assign]
        users = [asyncio.ensure_future(self._replay(run.run_id)) for run in runs]
        self._users |= {*users}
        feeding = self._hostile.begin(self._again(lambda: feed_replays(services, made.replay_id)))
        discarding = self._hostile.begin(self._discard(asked))
        await asyncio.gather(*users, feeding, discarding)
        engine.documents.commit = self._observed  # type: ignore[method-assign]
        await discard_all(services, asked, reason="old", by="k1")
        assert not self._wrong, self._wrong
        found = await find(services, asked, limit=100)
        self.seen = {state.value for _, state in found.found}
        assert DeadLetterState.OPEN not in {state for _, state in found.found}, "one is open after it was discarded"

    async def _work(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        if self._random.random() < self._fails:
            raise StepFailed("no")
        return {"status": "SUCCESS"}

    async def _observed(self, writes: Sequence[Write]) -> list[int]:
        versions = await self._commit(writes)
        for each in writes:
            if isinstance(each, Create | Replace) and each.path in self._epochs:
                self._moved(each.path, each.data["epoch"])
        for each in writes:
            if each.path.startswith("dead_letters/") and not isinstance(each, Create):
                self._closed(each)
        return versions

    def _moved(self, path: str, epoch: int) -> None:
        before, self._epochs[path] = self._epochs[path], epoch
        if epoch > before and asyncio.current_task() not in self._users and epoch != 1:
            self._wrong.append(f"the replay of all began epoch {epoch} of {path}, whose epoch 0 it was asked about")

    def _closed(self, write: Write) -> None:
        """A discard of the epoch that its run is in."""
        closed = write.set.get(("closed",)) if isinstance(write, Patch) else None
        closed = write.data.get("closed") if isinstance(write, Replace) else closed
        if closed is None or closed["state"] != DeadLetterState.DISCARDED:
            return
        run_id, _, epoch = write.path.removeprefix("dead_letters/").split(".")
        if self._epochs[f"runs/{run_id}"] != int(epoch):
            self._wrong.append(f"{write.path} was discarded after its run was replayed")

    async def _again(self, what: Callable[[], Awaitable[Any]]) -> None:
        for _ in range(TURNS):
            await self._engine.clock.sleep(self._random.random() * 5)
            with suppress(Died, Conflict):
                await what()

    async def _discard(self, asked: Filter) -> None:
        if self._random.random() < 0.5:  # else the replays have the time for themselves
            await self._again(lambda: discard_all(self._engine.services, asked, reason="old", by="k1"))

    async def _replay(self, run_id: str) -> None:
        for _ in range(3):
            await self._engine.clock.sleep(self._random.random() * 40)
            with suppress(ConvergenceError):  # another one was first
                await replay(self._engine.services, "acme", run_id)
