"""A Firestore server in memory for tests: what the client libraries ask for, over gRPC.

`counts` bills as Firestore does: `reads` (an absent document is one, an empty query is one, a count is one per
1,000 index entries), `writes`, `deletes`. Transactions are optimistic; locks, TTL and rules are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc
from google.cloud.firestore_v1.services.firestore.transports.grpc import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import firestore
from google.protobuf.empty_pb2 import Empty

from tests.emulators import firestore_query
from tests.emulators.firestore_indexes import Indexes
from tests.emulators.firestore_listen import listen
from tests.emulators.firestore_store import Store, set_micros
from tests.emulators.firestore_values import check_name, invalid, key, lookup, projected, rank
from tests.emulators.serving import Refused, Server

REQUEST_BYTES_MAX: Final = 10 * 2**20
_NUMBER: Final = 2


class FirestoreServer(Server):
    """`indexes` has the shape of `firestore.indexes.json`; None: no query is refused for want of an index."""

    def __init__(self, indexes: Mapping[str, Any] | None = None) -> None:
        self.store = Store()
        self.indexes = None if indexes is None else Indexes(indexes)
        handlers = {
            "BatchGetDocuments": self._batch_get,
            "GetDocument": self._get,
            "Commit": self._commit,
            "BatchWrite": self._batch_write,
            "BeginTransaction": self._begin_transaction,
            "Rollback": self._rollback,
            "RunQuery": self._run_query,
            "RunAggregationQuery": self._run_aggregation,
            "ListDocuments": self._list_documents,
            "ListCollectionIds": self._list_collections,
            "Listen": listen(self, self.store),
        }
        super().__init__(FirestoreGrpcTransport, handlers)

    def _batch_get(self, request: Any, context: Any) -> Iterator[Any]:
        for name in request.documents:
            check_name(name)
        with self.store.lock:
            at, begun = self.store.now(), b""
            if request.HasField("new_transaction"):
                begun = self.store.begin()
            self.store.note(request.transaction or begun, request.documents)
            found = {name: self.store.documents.get(name) for name in request.documents}  # each once
        self.counts["reads"] += len(found)
        if begun:
            yield firestore.BatchGetDocumentsResponse.pb()(transaction=begun)
        for name, document in found.items():
            response = firestore.BatchGetDocumentsResponse.pb()()
            set_micros(response.read_time, at)
            if document is None:
                response.missing = name
            elif request.HasField("mask"):
                response.found.CopyFrom(projected(document, request.mask.field_paths))
            else:
                response.found.CopyFrom(document)
            yield response

    def _get(self, request: Any, context: Any) -> Any:
        check_name(request.name)
        self.counts["reads"] += 1
        found = self.store.documents.get(request.name)
        if found is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f'Document "{request.name}" not found.')
        return found

    def _commit(self, request: Any, context: Any) -> Any:
        if request.ByteSize() > REQUEST_BYTES_MAX:
            raise invalid(f"Request payload size exceeds the limit: {REQUEST_BYTES_MAX} bytes.")
        at, results = self.store.commit(request.writes, request.transaction)
        deletes = sum(write.WhichOneof("operation") == "delete" for write in request.writes)
        self.counts["writes"] += len(request.writes) - deletes
        self.counts["deletes"] += deletes
        response = firestore.CommitResponse.pb()()
        set_micros(response.commit_time, at)
        for updated, transforms in results:
            _fill(response.write_results.add(), updated, transforms)
        return response

    def _batch_write(self, request: Any, context: Any) -> Any:
        response = firestore.BatchWriteResponse.pb()()
        for write in request.writes:
            try:
                _, [(updated, transforms)] = self.store.commit([write])
            except Refused as refused:
                response.write_results.add()
                response.status.add(code=refused.code.value[0], message=str(refused))
            else:
                self.counts["writes"] += 1
                _fill(response.write_results.add(), updated, transforms)
                response.status.add()
        return response

    def _begin_transaction(self, request: Any, context: Any) -> Any:
        with self.store.lock:
            return firestore.BeginTransactionResponse.pb()(transaction=self.store.begin())

    def _rollback(self, request: Any, context: Any) -> Any:
        with self.store.lock:
            self.store.rollback(request.transaction)
        return Empty()

    def _run_query(self, request: Any, context: Any) -> Iterator[Any]:
        if self.indexes is not None:
            self.indexes.check(request.structured_query)
        with self.store.lock:
            at, begun = self.store.now(), b""
            if request.HasField("new_transaction"):
                begun = self.store.begin()
            found, skipped = firestore_query.run(self.store, request.parent, request.structured_query)
            self.store.note(request.transaction or begun, [document.name for document in found])
        self.counts["reads"] += max(1, len(found) + skipped)
        for document in found or [None]:
            response = firestore.RunQueryResponse.pb()(transaction=begun, skipped_results=skipped)
            set_micros(response.read_time, at)
            if document is not None:
                response.document.CopyFrom(document)
            begun, skipped = b"", 0
            yield response

    def _run_aggregation(self, request: Any, context: Any) -> Iterator[Any]:
        asked = request.structured_aggregation_query
        if self.indexes is not None:
            self.indexes.check(asked.structured_query)
        with self.store.lock:
            at = self.store.now()
            found, _ = firestore_query.run(self.store, request.parent, asked.structured_query)
        self.counts["reads"] += max(1, -(-len(found) // 1000))
        self.counts["aggregations"] += 1
        response = firestore.RunAggregationQueryResponse.pb()()
        set_micros(response.read_time, at)
        for number, aggregation in enumerate(asked.aggregations, 1):
            value = response.result.aggregate_fields[aggregation.alias or f"field_{number}"]
            _aggregate(value, aggregation, found)
        yield response

    def _list_documents(self, request: Any, context: Any) -> Any:
        with self.store.lock:
            collection = f"{request.parent}/{request.collection_id}"
            names = sorted(self.store.collections.get(collection, {}))
            names = [name for name in names if name > request.page_token]
            page = names[: request.page_size or 100]
            self.counts["reads"] += max(1, len(page))
            return firestore.ListDocumentsResponse.pb()(
                documents=[self.store.documents[name] for name in page],
                next_page_token=page[-1] if len(page) < len(names) else "",
            )

    def _list_collections(self, request: Any, context: Any) -> Any:
        with self.store.lock:
            below = [name for name, found in self.store.collections.items() if found]
        self.counts["reads"] += 1
        head = request.parent + "/"
        ids = {name.removeprefix(head).partition("/")[0] for name in below if name.startswith(head)}
        return firestore.ListCollectionIdsResponse.pb()(collection_ids=sorted(ids))


def _fill(result: Any, updated: int, transforms: list[Any]) -> None:
    if updated:
        set_micros(result.update_time, updated)
    result.transform_results.extend(transforms)


def _aggregate(value: Any, aggregation: Any, found: list[Any]) -> None:
    kind = aggregation.WhichOneof("operator")
    if kind == "count":
        most = aggregation.count.up_to.value if aggregation.count.HasField("up_to") else len(found)
        value.integer_value = min(most, len(found))
        return
    path = getattr(aggregation, kind).field.field_path
    values = [each for each in (lookup(document, path) for document in found) if each is not None]
    numbers = [key(each)[2] for each in values if rank(each) == _NUMBER]
    if kind == "sum" and all(isinstance(number, int) for number in numbers):
        value.integer_value = sum(numbers)
    elif kind == "sum":
        value.double_value = sum(numbers)
    elif numbers:
        value.double_value = sum(numbers) / len(numbers)
    else:
        value.null_value = 0
