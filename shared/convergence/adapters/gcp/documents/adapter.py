"""Documents in Firestore (native mode), through its low-level async client.

The version of a document is its update time in microseconds. No transaction is ever opened: a commit carries its
preconditions, so there are no waits for locks. Hidden fields (`documents_values`) never come out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from convergence.adapters.cursors import cursor as cursor_of
from convergence.adapters.cursors import place
from convergence.adapters.gcp.connection import Connection, transport
from convergence.adapters.gcp.documents import writes as writing
from convergence.adapters.gcp.documents.query import Query, Row
from convergence.adapters.gcp.documents.values import data_of
from convergence.adapters.gcp.errors import unapplied
from convergence.adapters.retry import retried
from convergence.errors import Conflict, Transient
from convergence.ports.clock import Clock, Ids
from convergence.ports.documents import Document, Index, Order, Page, Where, Write

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient

R = TypeVar("R")

_CALL_S: Final = 10.0  # of one attempt
_TOTAL_S: Final = 25.0  # of all; shorter than the time between two renewals of a lease


class FirestoreDocuments:
    """`Documents` on Firestore.

    A commit is tried again while Firestore is away; one whose answer was lost recognises its own documents. It raises
    `Transient` where other writes make the outcome unknown. A Patch may be applied twice.
    """

    def __init__(
        self,
        project: str,
        clock: Clock,
        ids: Ids,
        *,
        database: str = "(default)",
        endpoint: str | None = None,
        indexes: Sequence[Index] = (),
        call_s: float = _CALL_S,
        total_s: float = _TOTAL_S,
    ) -> None:
        """Remember where the documents are; the first call connects.

        Args:
            project: The Google Cloud project.
            clock: For waits between attempts.
            ids: For marks and jitter.
            database: The name of the database.
            endpoint: `host:port` of a test server; None: the real service, with the machine's own identity.
            indexes: Those that are `sharded` are kept in shards; the others are only declared (`documents_indexes`).
            call_s: Seconds that one attempt may take.
            total_s: Seconds after which no further attempt begins.
        """
        self._clock, self._ids = clock, ids
        self._call_s, self._total_s = call_s, total_s
        self._database = f"projects/{project}/databases/{database}"
        self._root = f"{self._database}/documents"
        self._sharded = {(index.collection, frozenset(index.fields)) for index in indexes if index.sharded}
        self._in_shards = frozenset(collection for collection, _ in self._sharded)
        self.connection = Connection(partial(_client, endpoint), _close, service="Firestore", clock=clock)

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    async def get(self, path: str) -> Document | None:
        """Return the document, or None."""
        return (await self.get_many([path]))[0]

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        """Return one entry for each path: one request, so as of one moment (reference: BatchGetDocuments)."""
        if not paths:
            return []
        found = await self._read(paths)
        return [None if found[path] is None else self._document(found[path]) for path in paths]

    async def _read(self, paths: Sequence[str]) -> dict[str, Any]:
        from google.cloud.firestore_v1.types import firestore

        raw = firestore.BatchGetDocumentsRequest.pb()(database=self._database)
        raw.documents.extend(dict.fromkeys(f"{self._root}/{path}" for path in paths))
        request = firestore.BatchGetDocumentsRequest.wrap(raw)
        doing = f"read of {paths[0]}" if len(paths) == 1 else f"read of {paths[0]} and {len(paths) - 1} more"

        async def ask(client: FirestoreAsyncClient) -> dict[str, Any]:
            found: dict[str, Any] = dict.fromkeys(paths)
            stream = await client.batch_get_documents(request=request, retry=None, timeout=self._call_s)
            async for response in stream:
                answer = type(response).pb(response)
                if answer.WhichOneof("result") == "found":
                    found[self._path(answer.found.name)] = answer.found
            return found

        return await self._tried(ask, doing)

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        """Apply all writes or none in one request; return the new version of each."""
        from google.cloud.firestore_v1.types import firestore

        if not writes:
            return []
        mark = self._ids.new("c")
        raw = firestore.CommitRequest.pb()(database=self._database)
        for write in writes:
            raw.writes.append(writing.encoded(write, root=self._root, mark=mark, sharded=self._in_shards))
        request = firestore.CommitRequest.wrap(raw)
        doubts: list[Exception] = []

        async def ask(client: FirestoreAsyncClient) -> Any:
            response = await client.commit(request=request, retry=None, timeout=self._call_s)
            return type(response).pb(response)

        def failed(error: Exception) -> None:
            if not unapplied(error):
                doubts.append(error)

        try:
            response = await self._tried(ask, writing.shown(writes), preconditions=True, failed=failed)
        except Conflict:
            if len(doubts) == 1:  # only this refusal: no attempt before it was in doubt
                raise
            return await self._recognised(writes, mark)
        return [writing.version_of(result.update_time) for result in response.write_results]

    async def _recognised(self, writes: Sequence[Write], mark: str) -> list[int]:
        """Return the versions of a commit that was refused after an earlier attempt had got no answer."""
        shown = writing.shown(writes)
        reported = writing.applied(writes, mark, await self._read([write.path for write in writes]))
        if reported is None:
            raise Transient(f"{shown}: the answer to a commit was lost and others have written since; read again")
        if isinstance(reported, bool):
            raise Conflict(f"{shown}: another writer was first; read again")
        return reported

    async def query(
        self,
        collection: str,
        *,
        where: Sequence[Where] = (),
        order: Sequence[Order] = (),
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Return a page, by keyset: a cursor stays right while documents come and go."""
        query = self._query(collection, where, order)
        after = None if cursor is None else place(cursor, len(order) + 1)
        if query.empty():
            return Page([], None)
        rows = await self._rows(query, limit + 1, after)
        documents = [self._document(message) for _, message in rows[:limit]]
        return Page(documents, cursor_of(rows[limit - 1][0]) if len(rows) > limit else None)

    async def count(self, collection: str, *, where: Sequence[Where] = ()) -> int:
        """Count matching documents."""
        from google.cloud.firestore_v1.types import firestore

        query = self._query(collection, where)
        if query.empty():
            return 0
        request = firestore.RunAggregationQueryRequest.wrap(query.counted())

        async def ask(client: FirestoreAsyncClient) -> int:
            stream = await client.run_aggregation_query(request=request, retry=None, timeout=self._call_s)
            number = 0
            async for response in stream:
                number = type(response).pb(response).result.aggregate_fields["n"].integer_value
            return number

        return await self._tried(ask, f"count of {query.collection}")

    async def _rows(self, query: Query, limit: int, after: Sequence[Any] | None) -> list[Row]:
        from google.cloud.firestore_v1.types import firestore

        request = firestore.RunQueryRequest.wrap(query.page(limit, after))

        async def ask(client: FirestoreAsyncClient) -> list[Row]:
            stream = await client.run_query(request=request, retry=None, timeout=self._call_s)
            answers = [type(response).pb(response) async for response in stream]
            return [query.row(answer.document) for answer in answers if answer.HasField("document")]

        return await self._tried(ask, f"query on {query.collection}")

    def _query(self, collection: str, where: Sequence[Where], order: Sequence[Order] = ()) -> Query:
        query = Query(self._root, collection, tuple(where), tuple(order))
        sharded = (collection.rpartition("/")[2], query.fields()) in self._sharded
        return replace(query, sharded=sharded)

    def _document(self, message: Any) -> Document:
        return Document(
            self._path(message.name), writing.version_of(message.update_time), partial(data_of, message.fields)
        )

    def _path(self, name: str) -> str:
        return name[len(self._root) + 1 :]

    async def _tried(
        self,
        ask: Callable[[FirestoreAsyncClient], Awaitable[R]],
        doing: str,
        *,
        preconditions: bool = False,
        failed: Callable[[Exception], None] | None = None,
    ) -> R:
        attempt = partial(self.connection.call, ask, doing=doing, preconditions=preconditions, failed=failed)
        return await retried(attempt, clock=self._clock, ids=self._ids, total_s=self._total_s)


def _client(endpoint: str | None) -> FirestoreAsyncClient:
    from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
    from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

    return FirestoreAsyncClient(transport=transport(FirestoreGrpcAsyncIOTransport, endpoint))


async def _close(client: Any, grace_s: float | None) -> None:
    await client.transport.grpc_channel.close(grace_s)
