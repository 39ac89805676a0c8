"""A whole installation in one loop: machines that come and go, one store, one hostile bus, one seed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.google_accounts.adapter import RestAccounts
from convergence.adapters.local.keyring.adapter import FileKeyring
from convergence.domain.quota import Limits
from convergence.domain.status import RUN_TERMINAL
from convergence.domain.times import to_text
from convergence.engine.absence import note_alive
from convergence.engine.reconcile import reconcile
from convergence.engine.services import INDEXES, EngineSettings, Services
from convergence.errors import ConvergenceError
from convergence.ports.documents import Order, Write
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import OrgStore
from tests.simulation.broker import Broker
from tests.simulation.client import Client
from tests.simulation.events import check_events
from tests.simulation.faults import (
    CALM,
    FaultyBus,
    FaultyDocuments,
    FaultyKeyring,
    FaultyWarehouse,
    Killed,
    Odds,
    Process,
    SeededIds,
    swarm,
)
from tests.simulation.fixed_files import AnyTable, FixedCatalog
from tests.simulation.memory_warehouse import MemoryWarehouse
from tests.simulation.operator import Operator
from tests.simulation.other_clients import MessageClient, Twin
from tests.simulation.outcome import check_outcome
from tests.simulation.pipelines import FILE, GIANTS, SHAPES
from tests.simulation.processor import SimProcessor
from tests.simulation.quotas import Quotas
from tests.simulation.secret import SECRET
from tests.simulation.virtual_time import VirtualClock, VirtualLoop
from tests.simulation.watch import Watch

# A day's limit opens while the world is hostile: an hour after its start, or between requests made at its start.
EVENINGS = (datetime(2026, 3, 1, 23, tzinfo=UTC), datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
HOSTILE_S = 3 * 3600.0
CALM_MAX_S = 96 * 3600.0
ECHO_S = 1000.0
PROVEN_AFTER_S = 30.0
OVERDUE_S = 3600.0  # what the calm hours take to end a run whose deadline is over
ALL = range(SHAPES)


class Violation(AssertionError):
    """An invariant of the design does not hold."""


class World:
    """Owns clock, store, bus, machines and the only `Random(seed)`."""

    def __init__(
        self,
        seed: int,
        *,
        key_file: Path,
        odds: Odds | None = None,
        shapes: Sequence[int] = ALL,
        reconciles: bool = True,
        deliveries_max: int | None = None,
        embedded: bool | None = None,
        burst: int | None = None,
        outages: int = 1,
    ) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.odds = swarm(self.rng) if odds is None else odds
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, EVENINGS[-1 if self.rng.random() < 0.1 else 0])
        self.documents = SqliteDocuments(":memory:", self.clock, indexes=INDEXES)
        self.warehouse = MemoryWarehouse()
        self.broker = Broker(self, deliveries_max or self.rng.choice([3, 8, 100]))
        self.state: dict[str, dict[str, Any]] = {}
        self.edition = 0
        self.without_key: set[str] = set()  # runs whose request could not carry a secret
        self.hostile = True
        self._folder = key_file.parent
        self._reconciles = reconciles
        self.orgs = [f"org{number}" for number in range(self.rng.randint(1, 2))]
        # Often enough fewer than there are clients: on a day, in a month, at once.
        self.limits = Limits(
            daily=self.rng.choice([2, 3, 100]),
            monthly=self.rng.choice([1, 3, 1000, 1000, 1000]),
            concurrent=self.rng.randint(1, 3),
        )
        self.quotas = Quotas(self.limits)
        self._committing = 0
        self.races = self.rng.random() < 0.3  # all clients ask at the same moment
        self._keyring = FileKeyring(key_file)
        self.operator = Operator(self, self._keyring)
        self.errors: list[Any] = []
        self.watch = Watch(self)
        self.processes: list[Process] = []
        # One process at a time, whose successor knows that it is dead; its messages die with it.
        self.embedded = self.rng.random() < 0.3 if embedded is None else embedded
        self._burst = self.rng.choice([0, 0, 8, 30]) if burst is None else burst  # young processes to kill
        self._outages = outages
        self._burst_from_s = self.rng.uniform(0, 400)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.rivals: list[Client] = []  # the same key, different requests
        self.clients = self._make_clients(shapes)

    def _make_clients(self, shapes: Sequence[int]) -> list[Client]:
        rng, odds = self.rng, self.odds
        drawn = [rng.choice(shapes) for _ in range(rng.randint(1, 4))]
        if shapes is ALL and rng.random() < 0.015:
            drawn[0] = rng.choice(GIANTS)
        elif rng.random() < 0.15:
            drawn = [drawn[0] for _ in drawn]
        kinds = [MessageClient if rng.random() < odds.by_message else Client for _ in drawn]
        clients = [
            kind(self, number, rng.choice(self.orgs), shape)
            for number, (kind, shape) in enumerate(zip(kinds, drawn, strict=True))
        ]
        if rng.random() < odds.twin and kinds[0] is Client:
            first = clients[0]
            if rng.random() < 0.5:
                return [*clients, Twin(first)]
            self.rivals = [first, Client(self, 0, first.org, first.shape, label="e00")]
            return [*clients, self.rivals[1]]
        return clients

    # Machines

    def boot(self) -> None:
        process = Process(self, f"p{self.rng.getrandbits(32):x}")
        documents = FaultyDocuments(process)
        keyring = FaultyKeyring(process, self._keyring)
        process.services = Services(
            documents=documents,
            bus=FaultyBus(process),
            warehouse=FaultyWarehouse(process),
            keyring=keyring,
            clock=process.clock,
            ids=SeededIds(self.rng),
            catalog=FixedCatalog(process.edition),
            schemas=AnyTable(),
            orgs=OrgStore(documents),
            credentials=CredentialStore(documents, keyring, process.clock),
            processor=lambda _: SimProcessor(process),
            http=lambda: self.http(process),
            accounts=lambda: RestAccounts(_no_http, process.clock, SeededIds(self.rng)),
            owner=process.name,
            configs_dir=self._files(process.edition),
            settings=EngineSettings(
                sole_process=self.embedded, execution_max_s=3600, proven_after_s=PROVEN_AFTER_S, isolation_wait_s=3600
            ),
        )
        process.services.cache.routines_synced = True  # there are none
        if self.embedded:
            self.spawn(self._start_up(process))
        else:
            self._at_work(process)

    def http(self, process: Process) -> Any:
        """Return a machine's HTTP client."""
        return _no_http()

    def _files(self, edition: int) -> Path:
        """Return the folder of the files of an edition, the same for all worlds."""
        folder = self._folder / f"edition{edition}"
        if not folder.exists():
            folder.mkdir()
            (folder / FILE).write_text(f"edition {edition}")
        return folder

    async def _start_up(self, process: Process) -> None:
        """Begin as the embedded worker does: no request is answered before the time away has been made up for."""
        with contextlib.suppress(Killed):
            while True:
                with contextlib.suppress(ConvergenceError):
                    await note_alive(process.services, started=True)
                    break
                await self.clock.sleep(1)
            self._at_work(process)

    def _at_work(self, process: Process) -> None:
        self.processes.append(process)
        if self._reconciles:
            self.spawn(self._reconciler(process))
        if self._burst and self.loop.now_s >= self._burst_from_s:
            self._burst -= 1
            self.loop.call_later(self.rng.uniform(0, 3), self.kill, process)

    def _kill_any(self) -> None:
        process = self.any_process()
        if process is not None:
            self.kill(process)

    def kill(self, process: Process) -> None:
        """End a process, and let another one begin."""
        if process.dead:
            return
        process.dead = True
        if process in self.processes:
            self.processes.remove(process)
        away_s = self.rng.uniform(1, 30 if self.embedded else 120)
        if self.embedded:
            self.broker.forget()
            if self._outages and self.rng.random() < 0.2:  # for longer than any run may take
                self._outages -= 1
                away_s = self.rng.uniform(1, 15) * 3600
        self.loop.call_later(away_s, self.boot)

    def spares(self, process: Process) -> bool:
        """True where a fault could end a lease that is a step's fifth, alone in a process that has proven itself.

        So many are held against a step; only one that really kills its processes may meet them.
        """
        if self.loop.now_s - process.born_s < PROVEN_AFTER_S:
            return False
        return any(
            step["lease_owner"] == process.name
            and step["lease_isolated"]
            and step["crashes_when_isolated"] >= EngineSettings().crashes_max - 1
            for path, step in self.state.items()
            if "/steps/" in path
        )

    def any_process(self) -> Process | None:
        return self.rng.choice(self.processes) if self.processes else None

    def spawn(self, work: Any) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reconciler(self, process: Process) -> None:
        with contextlib.suppress(Killed):
            while self.embedded:
                with contextlib.suppress(ConvergenceError):
                    await reconcile(process.services, everything=True)
                    break
                await self.clock.sleep(1)
            while True:
                await self.clock.sleep(self.rng.uniform(30, 90))
                with contextlib.suppress(ConvergenceError):
                    if self.embedded:
                        await note_alive(process.services)
                    await reconcile(process.services)

    # The scenario

    def run(self) -> None:
        """Go through the hostile hours, then the calm ones, then check everything that is left."""
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._task_failed)
        logger = logging.getLogger("convergence")
        level = logger.level
        logger.setLevel(logging.CRITICAL)  # a hostile world has much to complain about
        try:
            self.loop.run_until_complete(self._scenario())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            logger.setLevel(level)
            self.documents.close()
            self.loop.close()
            asyncio.set_event_loop(None)

    def _task_failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.errors.append(error or context["message"])

    async def _scenario(self) -> None:
        await self.operator.found_orgs()
        self.operator.begin(self.odds)
        for _ in range(1 if self.embedded else self.rng.randint(1, 3)):
            self.boot()
        if self._burst:
            self.loop.call_later(self._burst_from_s, self._kill_any)
        for client in self.clients:
            self.spawn(client.run_scenario())
        while not await self._at_rest():
            if self.loop.now_s > HOSTILE_S:
                self.odds, self.hostile = CALM, False
            self._check_deadlines()
            if self.errors:
                break
            if self.loop.now_s > CALM_MAX_S:
                left = [(run["run_id"], run["status"], run["check_at"]) for run in self._open_runs()]
                raise Violation(f"not finished after {self.loop.now_s / 3600:.0f} hours: {left}")
            await self.clock.sleep(120)
        if self.errors:
            raise Violation(f"a task of the engine raised {self.errors[0]!r}")
        await self.clock.sleep(ECHO_S)  # late messages and machines that wake up must find nothing to do
        for client in self.clients if self._reconciles else ():
            check_outcome(client)
        self._check_rivals()
        if self._reconciles:
            check_events(self.broker.events, self.state)
        if self._reconciles and self.quotas.reserved(self.state):
            raise Violation(f"all has ended, reserved is still {self.quotas.reserved(self.state)}")
        if self.errors:
            raise Violation(f"a task of the engine raised {self.errors[0]!r}")

    async def _at_rest(self) -> bool:
        page = await self.documents.query("runs", order=[Order("check_at")], limit=1)
        closed = not page.documents or not self._reconciles  # only the reconciler closes a run that ended
        return closed and all(client.content for client in self.clients)

    def _open_runs(self) -> list[dict[str, Any]]:
        runs = (data for path, data in self.state.items() if path.count("/") == 1 and path.startswith("runs/"))
        return [data for data in runs if data["check_at"]]

    def _check_rivals(self) -> None:
        """A key belongs to one request: of two, only one gets a run."""
        if len([client.run_id for client in self.rivals if client.run_id]) > 1:
            raise Violation("two different requests with the same key got a run")

    def _check_deadlines(self) -> None:
        """In calm hours no run goes on after its deadline."""
        if self.loop.now_s < HOSTILE_S + OVERDUE_S or not any(self._is_at_rest(each) for each in self.processes):
            return
        late = to_text(self.clock.now() - timedelta(seconds=OVERDUE_S / 2))
        for run in self._open_runs():
            if run["status"] not in RUN_TERMINAL and run["deadline_at"] < late:
                raise Violation(f"{run['run_id']} goes on after its deadline {run['deadline_at']}")

    def _is_at_rest(self, process: Process) -> bool:
        return self.loop.now_s - max(process.born_s, process.frozen_until_s) > OVERDUE_S

    # Invariants that are watched all the time

    def violated(self, what: str) -> Violation:
        """Return what to raise; kept, because code that runs into it may take it for an answer to try again."""
        violation = Violation(what)
        self.errors.append(violation)
        return violation

    async def observed_commit(self, writes: Sequence[Write]) -> list[int]:
        self._committing += 1
        try:
            versions = await self.documents.commit(writes)
        finally:
            self._committing -= 1
        before = {write.path: self.state.get(write.path) for write in writes}
        for write in writes:
            document = await self.documents.get(write.path)
            if document is not None:
                self.state[write.path] = document.data
                self.check_plaintext(orjson.dumps(document.data))
        for path, old in before.items():
            self.watch.check_move(path, old, self.state.get(path))
        self.quotas.note(before, self.state)
        # Several commits may share a transaction: what they wrote is seen whole when the last of them was looked at.
        wrong = None if self._committing else self.quotas.wrong(self.state, self.clock.now())
        if wrong is not None:
            raise self.violated(wrong)
        return versions

    def check_plaintext(self, data: bytes) -> None:
        if SECRET.encode() in data:
            raise self.violated("a plaintext secret was stored or sent")


def _no_http() -> Any:
    raise AssertionError("simulated steps have no network")
