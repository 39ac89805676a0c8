"""A whole installation in one loop: machines that come and go, one store, one hostile bus, one seed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.google_accounts.adapter import RestAccounts
from convergence.adapters.local.keyring.adapter import FileKeyring
from convergence.config.loader import LoadedPipeline
from convergence.domain.quota import Limits
from convergence.domain.status import RUN_TERMINAL
from convergence.engine.absence import note_alive
from convergence.engine.reconcile import reconcile
from convergence.engine.services import INDEXES, EngineSettings, Services
from convergence.engine.step.lease import Lease
from convergence.errors import ConvergenceError
from convergence.ports.documents import Order, Write
from convergence.ports.processor import Context
from convergence.ports.warehouse import TableSchema
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import Org, OrgStore
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
from tests.simulation.memory_warehouse import MemoryWarehouse
from tests.simulation.pipelines import SHAPES, pipeline
from tests.simulation.processor import SimProcessor
from tests.simulation.quotas import Quotas
from tests.simulation.virtual_time import VirtualClock, VirtualLoop

SECRET = "sk-simulated-plaintext-0123456789"
EVENING = datetime(2026, 3, 1, 23, tzinfo=UTC)  # a day's limit opens while the world is hostile
HOSTILE_S = 3 * 3600.0
CALM_MAX_S = 96 * 3600.0
ECHO_S = 1000.0
PROVEN_AFTER_S = 30.0


class Violation(AssertionError):
    """An invariant of the design does not hold."""


class FixedCatalog:
    """Pipelines by shape, as `Catalog` gives them."""

    def names(self) -> list[str]:
        return []

    def get(self, name: str) -> LoadedPipeline:
        return pipeline(int(name.rpartition("shape")[2]))


class AnyTable:
    """A schema for every table name."""

    @property
    def paths(self) -> Mapping[str, Path]:
        return {}

    def get(self, name: str) -> TableSchema:
        return TableSchema(name, ())


class World:
    """Owns clock, store, bus, machines and the only `Random(seed)`."""

    def __init__(
        self,
        seed: int,
        *,
        key_file: Path,
        odds: Odds | None = None,
        shapes: Sequence[int] = range(SHAPES),
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
        self.clock = VirtualClock(self.loop, EVENING)
        self.documents = SqliteDocuments(":memory:", self.clock, indexes=INDEXES)
        self.warehouse = MemoryWarehouse()
        self.broker = Broker(self, deliveries_max or self.rng.choice([3, 8, 100]))
        self.state: dict[str, dict[str, Any]] = {}
        self.unfinished_at: dict[tuple[str, str], int] = {}
        self._reconciles = reconciles
        self.executions: dict[tuple[str, str], list[tuple[Process, Lease]]] = {}
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
        self.errors: list[Any] = []
        self._processes: list[Process] = []
        # One process at a time, whose successor knows that it is dead; its messages die with it.
        self.embedded = self.rng.random() < 0.3 if embedded is None else embedded
        self._burst = self.rng.choice([0, 0, 8, 30]) if burst is None else burst  # young processes to kill
        self._outages = outages
        self._burst_from_s = self.rng.uniform(0, 400)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.clients = [
            Client(self, number, self.rng.choice(self.orgs), self.rng.choice(shapes))
            for number in range(self.rng.randint(1, 4))
        ]

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
            clock=self.clock,
            ids=SeededIds(self.rng),
            catalog=FixedCatalog(),
            schemas=AnyTable(),
            orgs=OrgStore(documents),
            credentials=CredentialStore(documents, keyring, self.clock),
            processor=lambda _: SimProcessor(process),
            http=_no_http,
            accounts=lambda: RestAccounts(_no_http, self.clock, SeededIds(self.rng)),
            owner=process.name,
            configs_dir=Path("configs"),
            settings=EngineSettings(
                sole_process=self.embedded, execution_max_s=3600, proven_after_s=PROVEN_AFTER_S, isolation_wait_s=3600
            ),
        )
        process.services.cache.routines_synced = True  # there are none
        if self.embedded:
            self.spawn(self._start_up(process))
        else:
            self._at_work(process)

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
        self._processes.append(process)
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
        if process in self._processes:
            self._processes.remove(process)
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
        return self.rng.choice(self._processes) if self._processes else None

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
        await self._found_orgs()
        for _ in range(1 if self.embedded else self.rng.randint(1, 3)):
            self.boot()
        if self._burst:
            self.loop.call_later(self._burst_from_s, self._kill_any)
        for client in self.clients:
            self.spawn(client.run_scenario())
        while not await self._settled():
            if self.loop.now_s > HOSTILE_S:
                self.odds = CALM
            if self.errors:
                break
            if self.loop.now_s > CALM_MAX_S:
                raise Violation(f"not finished after {self.loop.now_s / 3600:.0f} hours: {self._open_runs()}")
            await self.clock.sleep(120)
        if self.errors:
            raise Violation(f"a task of the engine raised {self.errors[0]!r}")
        await self.clock.sleep(ECHO_S)  # late messages and machines that wake up must find nothing to do
        for client in self.clients if self._reconciles else ():
            client.check()
        if self._reconciles:
            check_events(self.broker.events, self.state)
        if self._reconciles and self.quotas.reserved(self.state):
            raise Violation(f"all has ended, reserved is still {self.quotas.reserved(self.state)}")
        if self.errors:
            raise Violation(f"a task of the engine raised {self.errors[0]!r}")

    async def _found_orgs(self) -> None:
        for slug in self.orgs:
            org = Org(slug=slug, name=slug, status="ACTIVE", limits=self.limits, created_at=self.clock.now())
            await OrgStore(self.documents).create(org)

    async def _settled(self) -> bool:
        page = await self.documents.query("runs", order=[Order("check_at")], limit=1)
        closed = not page.documents or not self._reconciles  # only the reconciler closes a run that ended
        return closed and all(client.content for client in self.clients)

    def _open_runs(self) -> list[Any]:
        runs = (data for path, data in self.state.items() if path.count("/") == 1 and path.startswith("runs/"))
        return [(data["run_id"], data["status"], data["check_at"]) for data in runs if data["check_at"]]

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
            self._check_move(path, old, self.state.get(path))
        self.quotas.note(before, self.state)
        # Several commits may share a transaction: what they wrote is seen whole when the last of them was looked at.
        wrong = None if self._committing else self.quotas.wrong(self.state, self.clock.now())
        if wrong is not None:
            raise self.violated(wrong)
        return versions

    def _check_move(self, path: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new is None:
            return
        kind = path.split("/")
        if kind[0] == "runs" and len(kind) == 2:
            ended = old is not None and old["status"] in RUN_TERMINAL
            if ended and old is not None and new["status"] != old["status"] and new["epoch"] != old["epoch"] + 1:
                raise self.violated(f"{path}: {old['status']} became {new['status']} without a replay")
            if old is not None and new["epoch"] > old["epoch"]:
                self._note_replay(new)
            if (new["error"] or {}).get("code") == "run.timeout":
                raise self.violated(f"{path}: ten hours were not enough")
        elif kind[0] == "runs" and kind[2] == "steps" and old is not None:
            if (new["error"] or {}).get("code") == "step.crashed_often" and not self._poison(kind[1], new):
                raise self.violated(f"{path}: a healthy step failed, {new['error']['message']}")
            done = old["status"] in ("completed", "skipped")
            if done and new["status"] != old["status"]:
                raise self.violated(f"{path}: {old['status']} became {new['status']}")

    def _poison(self, run_id: str, step: dict[str, Any]) -> bool:
        shape = int(self.state[f"runs/{run_id}"]["pipeline"].rpartition("shape")[2])
        specs = {spec.step_id: spec.config for spec in pipeline(shape).pipeline.steps}
        return bool(step["epoch"] < specs[step["step_id"]].get("poison_epochs", 0))

    def _note_replay(self, run: dict[str, Any]) -> None:
        plan = self.state[f"runs/{run['run_id']}/plan/{run['plan_epoch']}"]
        for step in plan["steps"]:
            status = self.state.get(f"runs/{run['run_id']}/steps/{step['step_id']}", {}).get("status")
            if status not in ("completed", "skipped"):
                self.unfinished_at[run["run_id"], step["step_id"]] = run["epoch"]

    def check_plaintext(self, data: bytes) -> None:
        if SECRET.encode() in data:
            raise self.violated("a plaintext secret was stored or sent")

    @contextlib.contextmanager
    def executing(self, process: Process, context: Context) -> Iterator[None]:
        """Watch one execution: dependencies done, no other live owner, none beside one that is to be alone."""
        run_id, step_id = context.run_id, context.step_id
        run = self.state[f"runs/{run_id}"]
        planned = self.state[f"runs/{run_id}/plan/{run['plan_epoch']}"]["steps"]
        spec = next(step for step in planned if step["step_id"] == step_id)
        for name in spec.get("depends_on", ()):
            status = self.state.get(f"runs/{run_id}/steps/{name}", {}).get("status")
            if status not in ("completed", "skipped"):
                raise self.violated(f"{run_id}/{step_id} started while {name} is {status}")
        key = (run_id, step_id if "trigger" not in spec else f"{step_id}~{context['epoch']}")
        others = self.executions.setdefault(key, [])
        own_lease = process.services.cache.leases[key]
        assert isinstance(own_lease, Lease)
        mine = (process, own_lease)
        owns = mine[1].held.step.leased(self.clock.now())  # one that froze after its claim finds out at its next write
        for other, lease in others:
            if owns and not other.dead and lease.stopped is None and lease.held.step.leased(self.clock.now()):
                raise self.violated(f"{key}: {process.name} started while {other.name} still owns it")
        beside = [lease for entries in self.executions.values() for other, lease in entries if other is process]
        if beside and any(lease.held.step.lease_isolated for lease in (mine[1], *beside)):
            raise self.violated(f"{key}: not alone in {process.name}")
        others.append(mine)
        try:
            yield
        finally:
            others.remove(mine)


def _no_http() -> Any:
    raise AssertionError("simulated steps have no network")
