"""Runs of several orgs that failed, and a replay of all of them while some orgs have no free place.

Two processes feed the replay, and die at any commit. Whatever happens in between: orgs with room are done while the
others still have none, these are done once they have room, each run is replayed once, and a run that cannot be replayed
is counted once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

from convergence.domain.dead_letter_replay import DeadLetterReplay, ReplayStatus
from convergence.domain.run import Run
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.feed_replays import feed_replays
from convergence.engine.dead_letters.find import Filter
from convergence.engine.store import usage_path
from convergence.errors import Conflict, InvalidInput, StepFailed
from convergence.ports.documents import Patch
from convergence.ports.processor import Context
from tests.simulation.dead_letters.hostile import Died, HostileCommits
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO

ORGS: Final = ("acme", "small", "tiny")
RUNS_MAX: Final = 4  # of an org
FEEDERS: Final = 2
TURNS: Final = 6
ROUND_S: Final = 16.0
SLOW_S: Final = 5.0
DEATH: Final = 0.15
ELSEWHERE: Final = ("active", "run_elsewhere")
FOR_LONG: Final = "2100-01-01T00:00:00.000000Z"


class FullOrgsWorld:
    """A world of one seed. `seen` says what happened, for a look at many worlds."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = Random(seed)
        folder.mkdir()
        self._engine = Engine(folder)
        self._commit = self._engine.documents.commit
        self._hostile = HostileCommits(
            self._engine, self._random, self._commit, slow_s=SLOW_S, others_s=0.1, death=DEATH
        )
        self._away = True
        self._gone: set[str] = set()  # paths of runs that cannot be replayed
        self.seen: set[str] = set()

    def run(self) -> None:
        """Live it, then check it. Raises `AssertionError` when it broke."""
        self._engine.run_scenario(self._live)

    async def _live(self) -> None:
        engine, services = self._engine, self._engine.services
        runs = await self._outage()
        full = self._random.sample(ORGS[1:], self._random.choice([1, 2]))
        await engine.documents.commit([Patch(usage_path(org), {ELSEWHERE: FOR_LONG}) for org in full])
        asked = replays.ReplaysRequest(criteria=Filter(before=engine.clock.now()), per_minute=600, failures_max=100)
        made = await replays.create(services, asked)
        engine.documents.commit = self._hostile  # type: ignore[method-assign]  # of this one engine
        await asyncio.gather(*(self._hostile.begin(self._again(made.replay_id)) for _ in range(FEEDERS)))
        engine.documents.commit = self._commit  # type: ignore[method-assign]  # of this one engine
        self.seen |= {"died"} if self._hostile.died else set()
        await self._rounds(made.replay_id, 12)
        await self._check([run for run in runs if run.org not in full], "had room")
        await engine.documents.commit([Patch(usage_path(org), unset=(ELSEWHERE,)) for org in full])
        done = await self._rounds(made.replay_id, 60)
        assert done.status is ReplayStatus.DONE, f"it is {done.status}: {done.reason}"
        await self._check(runs, "has room by now")
        assert done.refused == len(self._gone), f"{done.refused} were refused, {len(self._gone)} cannot be replayed"

    async def _outage(self) -> list[Run]:
        engine = self._engine
        engine.pipeline(TWO)
        engine.works["load_b"] = self._work
        for org in ORGS[1:]:
            await engine.org(org, concurrent=1)
        orgs = [org for org in ORGS for _ in range(self._random.randint(1, RUNS_MAX))]
        self._random.shuffle(orgs)
        runs = []
        for number, org in enumerate(orgs):
            runs.append(await engine.run(org=org, idempotency_key=f"{number}"))
            await engine.clock.sleep(1)  # they are ordered by time
        self._away = False
        if self._random.random() < 0.4:
            gone = self._random.choice(runs)
            self._gone = {gone.path}
            await engine.documents.commit([Patch(gone.path, {("removing",): True})])
        return runs

    async def _work(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        if self._away:
            raise StepFailed("the source is away")
        await self._engine.clock.sleep(self._random.random() * 3)
        return {"status": "SUCCESS"}

    async def _again(self, replay_id: str) -> None:
        for _ in range(TURNS):
            await self._engine.clock.sleep(self._random.random() * ROUND_S)
            with suppress(Died, Conflict):
                await self._fed(replay_id)

    async def _rounds(self, replay_id: str, count: int) -> DeadLetterReplay:
        for _ in range(count):
            await self._engine.clock.sleep(ROUND_S)
            if (await self._fed(replay_id)).status is ReplayStatus.DONE:
                break
        return (await replays.require_replay(self._engine.services, None, replay_id)).replay

    async def _fed(self, replay_id: str) -> DeadLetterReplay:
        """Feed it; where the one that went ahead could not be replayed, the operator lets it go on."""
        services = self._engine.services
        await feed_replays(services, replay_id)
        now = (await replays.require_replay(services, None, replay_id)).replay
        if now.waits_for:
            self.seen.add("waited")
        if now.status is ReplayStatus.STOPPED:
            self.seen.add("stopped")
            with suppress(InvalidInput):  # the other one let it
                await replays.resume(services, None, replay_id)
        return now

    async def _check(self, runs: Sequence[Run], why: str) -> None:
        for run in runs:
            stored = await self._engine.data(run.path)
            expected = (0, "failed") if run.path in self._gone else (1, "completed")
            found = (stored["epoch"], stored["status"])
            assert found == expected, f"run {run.run_id} of {run.org}, which {why}, is {found}, not {expected}"
