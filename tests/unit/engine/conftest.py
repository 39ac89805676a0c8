"""The engine on its embedded adapters, on virtual time, with processors that a test writes as functions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from convergence.adapters.local.bus import LocalBus
from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.google_accounts.adapter import RestAccounts
from convergence.adapters.local.keyring.adapter import FileKeyring
from convergence.config.loader import LoadedPipeline, parse_pipeline
from convergence.domain.quota import Limits
from convergence.domain.run import Run
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.services import INDEXES, EngineSettings, Services
from convergence.errors import NotFound
from convergence.ports.bus import DEAD_LETTER, RUN_EVENTS, Message
from convergence.ports.processor import Context
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import Org, OrgStore
from convergence.worker import LocalWorker
from tests.simulation.faults import SeededIds
from tests.simulation.fixed_files import AnyTable
from tests.simulation.memory_warehouse import MemoryWarehouse
from tests.simulation.virtual_time import VirtualClock, VirtualLoop

Work = Callable[[Mapping[str, Any], Context], Awaitable[Mapping[str, Any]]]


class Pipelines:
    """Pipelines by path, written in the test."""

    def __init__(self) -> None:
        self.loaded: dict[str, LoadedPipeline] = {}

    def names(self) -> list[str]:
        return sorted(self.loaded)

    def get(self, name: str) -> LoadedPipeline:
        if name not in self.loaded:
            raise NotFound(f"Pipeline not found: {name}")
        return self.loaded[name]


class FunctionProcessor:
    """A processor made of a function."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return await self._work(step_config, context)


class Engine:
    """One process with everything in it."""

    def __init__(self, folder: Path, settings: EngineSettings | None = None) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop)
        self.documents = SqliteDocuments(":memory:", self.clock, indexes=INDEXES)
        self.bus = LocalBus()
        self.warehouse = MemoryWarehouse()
        self.pipelines = Pipelines()
        self.works: dict[str, Work] = {}
        self.started: list[str] = []
        self.events: list[bytes] = []
        self.dead_letters: list[Message] = []
        self.http: Callable[[], Any] = _no_http
        keyring = FileKeyring(folder / "key")
        self.services = Services(
            documents=self.documents,
            bus=self.bus,
            warehouse=self.warehouse,
            keyring=keyring,
            clock=self.clock,
            ids=SeededIds(Random(0)),
            catalog=self.pipelines,
            schemas=AnyTable(),
            orgs=OrgStore(self.documents),
            credentials=CredentialStore(self.documents, keyring, self.clock),
            processor=lambda _: FunctionProcessor(self._work),
            http=self._client,
            accounts=lambda: RestAccounts(_no_http, self.clock, SeededIds(Random(0))),
            owner="boot1",
            configs_dir=folder,
            settings=settings or EngineSettings(),
        )
        self.bus.tap(RUN_EVENTS, lambda messages: self.events.extend(message.data for message in messages))
        self.bus.tap(DEAD_LETTER, self.dead_letters.extend)
        self.worker = LocalWorker(self.services, self.bus)
        self._reconciling = False

    def _client(self) -> Any:
        return self.http()

    async def _work(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        self.started.append(context.step_id)
        return await self.works.get(context.step_id, succeed)(step_config, context)

    def run_scenario(self, scenario: Callable[[], Awaitable[Any]]) -> Any:
        """Run a scenario to its end on virtual time."""
        asyncio.set_event_loop(self.loop)

        async def whole() -> Any:
            await self.org("acme")
            try:
                return await scenario()
            finally:
                await self.worker.close()

        try:
            return self.loop.run_until_complete(whole())
        finally:
            self.loop.close()
            asyncio.set_event_loop(None)
            self.documents.close()

    async def org(self, slug: str, daily: int = 100, monthly: int = 1000, concurrent: int = 5) -> None:
        """Create an org."""
        limit = Limits(daily=daily, monthly=monthly, concurrent=concurrent)
        org = Org(slug=slug, name=slug, status="ACTIVE", limits=limit, created_at=self.clock.now())
        await self.services.orgs.create(org)

    def pipeline(self, text: str, name: str = "p/d/n") -> None:
        """Add a pipeline: the head is written for it."""
        head = 'pipeline_id: "{org_slug}-n"\nname: N\nprovider: p\ndomain: d\n'
        self.pipelines.loaded[name] = parse_pipeline(head + text, name)

    async def start(self, name: str = "p/d/n", org: str = "acme", **request: Any) -> Run:
        """Dispatch."""
        return await dispatch(self.services, RunRequest(org=org, pipeline=name, **request))

    async def run(self, name: str = "p/d/n", org: str = "acme", **request: Any) -> Run:
        """Dispatch and wait for the end, with the reconciler at work."""
        run = await self.start(name, org, **request)
        if not self._reconciling:
            self._reconciling = True
            await self.worker.start()
        return await self.worker.wait(org, run.run_id)

    async def data(self, path: str) -> dict[str, Any]:
        """Return a document's data."""
        document = await self.documents.get(path)
        assert document is not None, f"no document {path}"
        return document.data


async def succeed(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    return {"status": "SUCCESS"}


def _no_http() -> Any:
    raise AssertionError("these steps have no network")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)
