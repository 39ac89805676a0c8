"""A night of a fleet: the engine's own code on virtual time, over stand-ins that count and take their time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.google_accounts.adapter import RestAccounts
from convergence.adapters.local.keyring.adapter import FileKeyring
from convergence.config.loader import LoadedPipeline, parse_pipeline
from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.quota import Limits
from convergence.domain.schedule import Timing
from convergence.engine.dead_letters.find import Filter
from convergence.engine.dead_letters.replays import ReplaysRequest
from convergence.engine.dead_letters.replays import create as create_replay
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.schedules.edit import new_schedule
from convergence.engine.schedules.states import from_now
from convergence.engine.services import INDEXES, EngineSettings, Services
from convergence.errors import QuotaExceeded
from convergence.ports.bus import TICK, Delivery, Message
from convergence.ports.documents import Create, Delete, Where
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import Org, OrgStore
from tests.bench.fleet import scenario as assumed
from tests.bench.fleet.instances import Function, Instance
from tests.bench.fleet.ports import (
    AnyTable,
    CountedBus,
    CountedDocuments,
    CountedKeyring,
    NightProcessor,
    SlowWarehouse,
)
from tests.bench.fleet.scenario import PIPELINES, START, STEPS, Scenario
from tests.bench.fleet.usage import Usage
from tests.emulators.topology import functions
from tests.simulation.faults import Killed, SeededIds
from tests.simulation.virtual_time import VirtualClock, VirtualLoop

DAY_S: Final = 86_400.0
LONGEST_S: Final = 3 * DAY_S
CROWDED: Final = "org0"
CROWD_AT_ONCE: Final = 20  # its limit
CROWD_AT_S: Final = 6 * 3_600.0
REPLAY_AFTER_S: Final = 600.0  # after the end of an outage
REPLAYS_PER_MINUTE: Final = 120


class Pipelines:
    """The pipelines of the fleet, equal but for their names."""

    def __init__(self) -> None:
        self._loaded = {name: parse_pipeline(_pipeline(number), name) for number, name in enumerate(self.names())}

    def names(self) -> list[str]:
        return [f"fleet/usage/p{number}" for number in range(PIPELINES)]

    def get(self, name: str) -> LoadedPipeline:
        return self._loaded[name]


class Night:
    """Owns time, store, bus, functions, and what is counted."""

    def __init__(self, scenario: Scenario, orgs: int, folder: Path) -> None:
        self.scenario, self.orgs = scenario, orgs
        self.loop = VirtualLoop()
        self.loop.set_exception_handler(self._unexpected)
        self.clock = VirtualClock(self.loop, START)
        self.usage = Usage(lambda: self.loop.now_s)
        self.errors = 0  # answers 500
        self.lost = 0  # requests of a lost zone
        self.end_s = 0.0
        self.documents = SqliteDocuments(":memory:", self.clock, indexes=INDEXES)
        self.warehouse = SlowWarehouse(self)
        self.functions = {
            name: Function(self, file, self._services)
            for name, file in functions().items()
            if name in ("step", "scheduler", "dead_letter")
        }
        self._by_topic = {
            trigger.topic: function for function in self.functions.values() for trigger in function.file.triggers
        }
        self._folder = folder
        self._keyring = FileKeyring(folder / "key")
        self._ids = SeededIds(Random(0))
        self._catalog = Pipelines()
        self._messages = 0

    def play(self, progress: Callable[[float], None] = lambda _: None) -> None:
        """Let the night pass, until no run is left."""
        try:
            self.loop.run_until_complete(self._play(progress))
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Accept messages; those of topics with a function are pushed. Events are only counted."""
        self.usage.published[topic] += len(messages)
        function = self._by_topic.get(topic)
        if function is None:
            return
        for message in messages:
            self._messages += 1
            delivery = Delivery(message, f"m{self._messages}", 1, topic)
            self.loop.call_later(assumed.DELIVER_S, function.arrive, delivery)

    def provider_is_away(self) -> bool:
        """Tell whether calls of the provider fail now."""
        outage = self.scenario.outage
        return outage is not None and outage[0] <= self.loop.now_s < outage[1]

    def seconds_of(self, table: str) -> float:
        """Return how long a load or a statement takes, which names its step's table."""
        return STEPS[int(table.removeprefix("t"))][1]

    # The fleet

    def _services(self, instance: Instance | None) -> Services:
        alive = instance or Instance("operator", 0.0)
        documents = CountedDocuments(self, alive, self.documents)
        keyring = CountedKeyring(self, self._keyring)
        services = Services(
            documents=documents,
            bus=CountedBus(self, alive),
            warehouse=self.warehouse,
            keyring=keyring,
            clock=self.clock,
            ids=self._ids,
            catalog=self._catalog,
            schemas=AnyTable(),
            orgs=OrgStore(documents),
            credentials=CredentialStore(documents, keyring, self.clock),
            processor=lambda _: NightProcessor(self),
            http=_no_http,
            accounts=lambda: RestAccounts(_no_http, self.clock, self._ids),
            owner=alive.name,
            configs_dir=self._folder,
            settings=EngineSettings(runs_max=self.scenario.runs_max, proven_after_s=0.0),
        )
        services.cache.routines_synced = True  # there are none
        return services

    async def _found(self) -> None:
        """Set up orgs, each with a credential and a schedule of each pipeline; nothing of it is counted."""
        orgs = OrgStore(self.documents)
        credentials = CredentialStore(self.documents, self._keyring, self.clock)
        services = replace(self._services(None), documents=self.documents)
        now = self.clock.now()
        for number, zone in enumerate(assumed.zones(self.orgs)):
            slug = f"org{number}"
            crowded = slug == CROWDED
            limits = Limits(daily=10**5, monthly=10**6, concurrent=CROWD_AT_ONCE if crowded else PIPELINES)
            await orgs.create(Org(slug=slug, name=slug, status="ACTIVE", limits=limits, created_at=now))
            await credentials.store(slug, "fleet", f"key-of-{slug}", name="default")
            timing = Timing(cron="0 2 * * *", timezone=zone, jitter_s=self.scenario.jitter_s)
            made = (
                new_schedule(services, org=slug, pipeline=name, provider="fleet", timing=timing, name="nightly")
                for name in self._catalog.names()
            )
            placed = [from_now(each, now) for each in made]
            await self.documents.commit([Create(each.path, each.to_data()) for each in placed])
        while (page := await self.documents.query("schedule_requests", limit=400)).documents:  # it was long ago
            await self.documents.commit([Delete(document.path) for document in page.documents])

    async def _play(self, progress: Callable[[float], None]) -> None:
        await self._found()
        background = [asyncio.ensure_future(each) for each in (self._crowd(), self._outage(), self._lost_zone())]
        while self.loop.now_s < LONGEST_S:
            if self.loop.now_s < DAY_S or await self._open():
                self.publish(TICK, [Message(b"", {})])
            elif all(task.done() for task in background):
                break
            progress(self.loop.now_s)
            await self.clock.sleep(60)
        for task in background:
            task.result()

    async def _open(self) -> int:
        return await self.documents.count("runs", where=[Where("check_at", ">", "")])

    async def _crowd(self) -> None:
        """Ask for many runs of one org; each call waits for the one before."""
        if not self.scenario.crowd:
            return
        await self.clock.sleep(CROWD_AT_S)
        services, asked = self._services(None), 0
        request = RunRequest(org=CROWDED, pipeline=self._catalog.names()[0], queue=True)
        while asked < self.scenario.crowd:
            try:
                await dispatch(services, request)
                asked += 1
            except QuotaExceeded:  # as many wait as may: 429
                await self.clock.sleep(60)

    async def _outage(self) -> None:
        """Once the provider is back, the operator replays what failed."""
        if self.scenario.outage is None:
            return
        await self.clock.sleep(self.scenario.outage[1] + REPLAY_AFTER_S)
        wanted = Filter(state=DeadLetterState.OPEN)
        await create_replay(
            self._services(None), ReplaysRequest(criteria=wanted, per_minute=REPLAYS_PER_MINUTE, operator=True)
        )

    async def _lost_zone(self) -> None:
        if self.scenario.zone_lost_at is None:
            return
        await self.clock.sleep(self.scenario.zone_lost_at)
        self.lost = sum(function.lose(1 / 3) for function in self.functions.values())

    def _unexpected(self, _: Any, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), Killed):
            print(context, file=sys.stderr)
            self.errors += 1


def _pipeline(number: int) -> str:
    steps = [
        {
            "step_id": f"s{place}",
            "ps_type": "generic.noop",
            "depends_on": [f"s{place - 1}"] if place else [],
            "config": {"kind": kind, "seconds": seconds, "step": place},
            "retry": {"max_attempts": 3, "backoff_seconds": 5},
        }
        for place, (kind, seconds) in enumerate(STEPS)
    ]
    head = {"pipeline_id": f"{{org_slug}}-p{number}", "name": f"P{number}", "provider": "fleet", "domain": "usage"}
    return yaml.safe_dump({**head, "timeout_minutes": 60, "steps": steps})


def _no_http() -> Any:
    raise AssertionError("steps of the night have no network")
