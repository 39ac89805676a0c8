"""A Firestore test server with the adapter on it, and a clock that does something whenever a caller waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from convergence.adapters.gcp.documents.adapter import FirestoreDocuments
from convergence.adapters.gcp.documents.indexes import index_file
from convergence.adapters.local.clock import RandomIds
from convergence.ports.documents import Index
from tests.emulators.firestore import FirestoreServer

INDEXES = (Index("runs", ("check_at",), sharded=True), Index("runs", ("org", "created_at")))


class BusyClock:
    """Waiting takes no time here; `meanwhile` is done once, in the first wait."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.waits = 0
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.waits += 1
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            await act()


class FirestoreWorld:
    """`documents` is under test; `others` is another process on the same server."""

    def __init__(self, indexes: Sequence[Index] = INDEXES, unindexed: Sequence[str] = (), **options: Any) -> None:
        self.server = FirestoreServer(index_file(indexes, unindexed))
        self.endpoint = self.server.start()
        self.clock = BusyClock()
        self.documents = self._adapter(indexes, self.clock, **options)
        self.others = self._adapter(indexes, BusyClock())

    def _adapter(self, indexes: Sequence[Index], clock: BusyClock, **options: Any) -> FirestoreDocuments:
        return FirestoreDocuments("p", clock, RandomIds(), endpoint=self.endpoint, indexes=indexes, **options)

    def restart(self) -> None:
        """Come back at the same place with everything that was stored."""
        assert self.server.start(int(self.endpoint.rpartition(":")[2])) == self.endpoint


@contextmanager
def firestore_world(**options: Any) -> Iterator[FirestoreWorld]:
    """Give a world and take it down."""
    world = FirestoreWorld(**options)
    yield world
    world.server.stop()
