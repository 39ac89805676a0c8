"""The engine of the unit tests with its documents in Firestore and real time: nothing else differs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convergence.adapters.gcp.documents.adapter import FirestoreDocuments
from convergence.adapters.gcp.documents.indexes import index_file
from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.engine.services import INDEXES, UNINDEXED
from convergence.ports.bus import QUEUE_CHANGED, RUN_EVENTS, STEP_READY, Message
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import OrgStore
from convergence.worker import LocalWorker
from tests.emulators.firestore import FirestoreServer
from tests.unit.engine.conftest import Engine


def firestore_server() -> FirestoreServer:
    """Return a server with the indexes that an installation declares."""
    return FirestoreServer(index_file(INDEXES, UNINDEXED))


class FirestoreEngine(Engine):
    """`counts` bills what the engine asks for: the server's reads and writes, and messages by kind."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.loop.close()
        self.documents.close()
        self.server = firestore_server()
        endpoint = self.server.start()
        self.clock = SystemClock()  # type: ignore[assignment] # gRPC lives in real time
        self.documents = FirestoreDocuments(  # type: ignore[assignment] # another adapter of the same port
            "p", self.clock, RandomIds(), endpoint=endpoint, indexes=INDEXES
        )
        self.services = replace(
            self.services,
            documents=self.documents,
            clock=self.clock,
            ids=RandomIds(),
            orgs=OrgStore(self.documents),
            credentials=CredentialStore(self.documents, self.services.keyring, self.clock),
        )
        self.bus.detach()
        self.worker = LocalWorker(self.services, self.bus)
        self._messages: Counter[str] = Counter()
        self.bus.tap(STEP_READY, self._count("messages"))
        self.bus.tap(QUEUE_CHANGED, self._count("hints"))
        self.bus.tap(RUN_EVENTS, self._count("events"))

    def _count(self, kind: str) -> Callable[[Sequence[Message]], None]:
        return lambda messages: self._messages.update({kind: len(messages)})

    @property
    def counts(self) -> dict[str, int]:
        """Return reads, writes, deletes, aggregations, messages, hints and events since the last `forget`."""
        return {**self.server.counts, **self._messages}

    def forget(self) -> None:
        """Count from zero."""
        self.server.counts.clear()
        self._messages.clear()

    def run_scenario(self, scenario: Callable[[], Awaitable[Any]]) -> Any:
        """Run a scenario in real time."""

        async def whole() -> Any:
            await self.org("acme")
            try:
                return await scenario()
            finally:
                await self.worker.close()
                documents: Any = self.documents  # this adapter's close is a coroutine
                await documents.close()

        try:
            return asyncio.run(whole())
        finally:
            self.server.stop()
