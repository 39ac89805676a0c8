"""Schedules, the queue and backfills in a hostile world: real engine, runs whose steps are left out."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from convergence.config.files.models import ProviderLine, Providers
from convergence.config.loader import LoadedPipeline, parse_pipeline
from convergence.domain.quota import Limits
from convergence.engine.dead_letter import on_dead_letter
from convergence.engine.finish_run import error_data, fail_run, finish_run
from convergence.engine.queue.handler import on_queue_changed
from convergence.engine.services import EngineSettings, Services
from convergence.engine.store import read_run
from convergence.engine.tick import on_tick
from convergence.errors import ConvergenceError, NotFound
from convergence.ports.bus import DEAD_LETTER, QUEUE_CHANGED, STEP_READY, TICK, Ack, Answer, Delivery, Message
from convergence.ports.documents import Write
from tests.simulation.broker import Broker, ServiceHandler
from tests.simulation.faults import CALM, Killed, Odds, Process
from tests.simulation.operator import Operator
from tests.simulation.scheduler.ledger import Ledger
from tests.simulation.scheduler.users import BackfillUser, PauseUser, ScheduleUser, StartUser, User
from tests.simulation.world import Violation, World

HOSTILE_S = 5400.0
CALM_MAX_S = 12 * 3600.0
TICK_S = 60.0
QUEUE_TIMEOUT_S = 7 * 86_400.0  # no run of these worlds may need it
PATIENCE = 5  # looks, a minute apart, at which a run may be queued although there is room
PIPELINES = ("p/d/n", "q/d/n")  # the first one's provider may have a cap


@dataclass(frozen=True)
class Setting:
    """What a world has; None: drawn."""

    schedules: int | None = None
    backfills: int | None = None
    pauses: int | None = 0  # users who pause and resume a pipeline of an org
    starters: int | None = 0  # users who start runs themselves
    chained: bool | None = False  # a run of the first pipeline that completes is followed by one of the second
    orgs: int | None = None
    instances: int = 2
    runs_max: int | None = None
    provider_max: int | None = None
    org_max: int | None = None  # runs of an org at a time
    run_s: tuple[float, float] | None = None
    recreates: bool = False  # users delete their schedules around firings, and create them again
    fair: bool = False  # the ledger checks that orgs take turns


class Pipelines:
    """Two pipelines of one step."""

    def __init__(self, *, chained: bool) -> None:
        self._chained = chained

    def names(self) -> list[str]:
        return list(PIPELINES)

    def get(self, name: str) -> LoadedPipeline:
        if name not in PIPELINES:
            raise NotFound(f"Pipeline not found: {name}")
        return _pipeline(name, _THEN if self._chained and name == PIPELINES[0] else "")


_THEN: Final = "then: {on_success: [{pipeline: q/d/n}]}\n"


@cache
def _pipeline(name: str, then: str) -> LoadedPipeline:
    head = f'pipeline_id: "{{org_slug}}-n"\nname: N\nprovider: {name[0]}\ndomain: d\n'
    return parse_pipeline(head + then + "timeout_minutes: 60\nsteps: [{step_id: load_a, ps_type: generic.noop}]", name)


async def _left_out(services: Services, delivery: Delivery) -> Answer:
    return Ack()


HANDLERS: Final[dict[str, ServiceHandler]] = {
    TICK: on_tick,
    QUEUE_CHANGED: on_queue_changed,
    DEAD_LETTER: on_dead_letter,
    STEP_READY: _left_out,
}


class SchedulerBroker(Broker):
    """Its messages are hints and ticks; the world itself lets runs end."""

    handlers = HANDLERS


class SchedulerWorld(World):
    """Owns its users, and the ledger that every commit is checked against."""

    def __init__(
        self, seed: int, *, key_file: Path, odds: Odds | None = None, setting: Setting | None = None, skew_s: float = 0
    ) -> None:
        super().__init__(seed, key_file=key_file, odds=odds, shapes=range(1), embedded=False, burst=0)
        rng, self.setting = self.rng, setting or Setting()
        self.odds = replace(self.odds, key_changed=0.0, suspended=0.0, deployed=0.0)
        if skew_s:
            self.odds = replace(self.odds, clock_skew_s=skew_s)
        self.broker: Broker = SchedulerBroker(self, rng.choice([3, 8]))
        self.orgs = [f"org{number}" for number in range(self.setting.orgs or rng.randint(1, 3))]
        self.operator = Operator(self, self._keyring)
        self.limits = Limits(daily=100_000, monthly=100_000, concurrent=self.setting.org_max or rng.randint(1, 3))
        capped = rng.choice(["", "global", "provider", "both"])
        self.runs_max = self.setting.runs_max or (rng.randint(1, 3) if capped in ("global", "both") else None)
        self.provider_max = self.setting.provider_max or (rng.randint(1, 2) if capped in ("provider", "both") else None)
        self._registry = Providers(providers={"p": ProviderLine(type="llm", max_concurrent_runs=self.provider_max)})
        self.ledger = Ledger(self)
        self.run_s = self.setting.run_s or (30.0, rng.choice([300.0, 1500.0]))
        schedules = rng.randint(0, 3) if self.setting.schedules is None else self.setting.schedules
        backfills = rng.randint(0, 2) if self.setting.backfills is None else self.setting.backfills
        self.users = [ScheduleUser(self, number, rng.choice(self.orgs)) for number in range(schedules)]
        self.backfillers = [
            BackfillUser(self, number, self.orgs[number % len(self.orgs)]) for number in range(backfills)
        ]
        more = Random(f"{seed} more")  # of its own: what is drawn above stays as it was
        pauses = more.randint(0, 2) if self.setting.pauses is None else self.setting.pauses
        starters = more.randint(0, 2) if self.setting.starters is None else self.setting.starters
        self.cap_shard_places = Random(f"{seed} shards").choice([1, 10])
        chained = more.random() < 0.5 if self.setting.chained is None else self.setting.chained
        self.chained = PIPELINES[0] if chained else ""
        self.others = [
            *(PauseUser(self, number, org, name) for number, (org, name) in enumerate(self._paused(more, pauses))),
            *(StartUser(self, number, more.choice(self.orgs), more.choice(PIPELINES)) for number in range(starters)),
        ]
        self._roomy = 0  # looks in a row at which a run waited although there was room

    def _paused(self, rng: Random, count: int) -> list[tuple[str, str]]:
        """Return which pipelines are paused, each by one user."""
        pairs = [(org, name) for org in self.orgs for name in PIPELINES]
        return rng.sample(pairs, min(count, len(pairs)))

    def _at_work(self, process: Process) -> None:
        process.services = replace(
            process.services,
            catalog=Pipelines(chained=bool(self.chained)),
            providers=lambda: self._registry,
            settings=EngineSettings(
                queue_timeout_s=QUEUE_TIMEOUT_S, runs_max=self.runs_max, cap_shard_places=self.cap_shard_places
            ),
        )
        self.processes.append(process)

    async def observed_commit(self, writes: Sequence[Write]) -> list[int]:
        versions = await self.documents.commit(writes)
        before = {write.path: self.state.get(write.path) for write in writes}
        for path in before:
            document = await self.documents.get(path)
            if document is not None:
                self.state[path] = document.data
        wrong = self.ledger.note(before, self.state)
        if wrong is not None:
            raise self.violated(wrong)
        return versions

    def execute(self, run_id: str) -> None:
        """Let a run that has been admitted take its time."""
        self.spawn(self._execute(run_id))

    async def _execute(self, run_id: str) -> None:
        await self.clock.sleep(self.rng.uniform(*self.run_s))
        while True:
            process = self.any_process()
            with contextlib.suppress(Killed, ConvergenceError):
                if process is not None:
                    await self._end(process.services, run_id)
                    return
            await self.clock.sleep(20)

    async def _end(self, services: Services, run_id: str) -> None:
        stored = await read_run(services, run_id)
        if stored is None or stored.run.terminal:
            return
        if self.rng.random() < 0.1:
            error = error_data("step.failed", "it failed", step_id="load_a", at=services.clock.now())
            await fail_run(services, stored, error)
        else:
            await finish_run(services, stored)

    async def _ticks(self) -> None:
        while True:
            await self.clock.sleep(TICK_S)
            self.broker.accept(TICK, [Message(b"", {})])

    async def _scenario(self) -> None:
        await self.operator.found_orgs()
        for _ in range(self.setting.instances):
            self.boot()
        self.spawn(self._ticks())
        for user in self._everyone():
            self.spawn(user.live())
        while self.loop.now_s < HOSTILE_S and not self.errors:
            await self.clock.sleep(TICK_S)
        self.odds, self.hostile = CALM, False
        while not (self.errors or self._all_over()):
            self._look_at_room()
            if self.loop.now_s > HOSTILE_S + CALM_MAX_S:
                raise Violation(f"not finished after {CALM_MAX_S / 3600:g} calm hours: {self.ledger.unfinished()}")
            await self.clock.sleep(TICK_S)
        if self.errors:
            raise Violation(f"a task of the engine raised {self.errors[0]!r}")
        wrong = self.ledger.wrong_at_the_end()
        if wrong is not None:
            raise Violation(wrong)

    def _everyone(self) -> list[User]:
        return [*self.users, *self.backfillers, *self.others]

    def _all_over(self) -> bool:
        quiet = all(user.done for user in self._everyone())
        return quiet and not self.ledger.unfinished()

    def _look_at_room(self) -> None:
        """In calm hours no run stays queued although nothing is in its way."""
        waits = self.ledger.waits_with_room()
        self._roomy = self._roomy + 1 if waits and self._is_calm() else 0
        if self._roomy > PATIENCE:
            raise Violation(f"{waits} is queued although there is room")

    def _is_calm(self) -> bool:
        since = [max(each.born_s, each.frozen_until_s) for each in self.processes]
        return bool(since) and self.loop.now_s - min(since) > 10 * TICK_S and self.loop.now_s > HOSTILE_S + 1200

    @property
    def until(self) -> Any:
        """When the last firing is due: with the end of the hostile hours."""
        return self.clock.now() + timedelta(seconds=HOSTILE_S - self.loop.now_s)
