"""The Firestore test server behaves as documented, seen through Google's own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as google
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter, Or
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports.grpc import FirestoreGrpcTransport

from tests.emulators.firestore import FirestoreServer

INDEXES = {
    "indexes": [
        {
            "collectionGroup": "runs",
            "queryScope": "COLLECTION",
            "fields": [{"fieldPath": "org", "order": "ASCENDING"}, {"fieldPath": "at", "order": "DESCENDING"}],
        }
    ],
    "fieldOverrides": [{"collectionGroup": "plan", "fieldPath": "*", "indexes": []}],
}


@pytest.fixture
def server() -> Iterator[FirestoreServer]:
    server = FirestoreServer(INDEXES)
    yield server
    server.stop()


@pytest.fixture
def client(server: FirestoreServer) -> Iterator[firestore.Client]:
    client = firestore.Client(project="p", credentials=AnonymousCredentials())
    channel = grpc.insecure_channel(server.start())
    api = FirestoreClient(transport=FirestoreGrpcTransport(channel=channel))
    client._firestore_api_internal = api  # noqa: SLF001 - the client takes no channel
    yield client
    channel.close()


def test_documents_are_written_merged_updated_and_deleted(client: firestore.Client) -> None:
    document = client.document("c/a")
    document.set({"n": 1, "deep": {"x": 1, "y": 2}})
    document.update({"deep.x": firestore.DELETE_FIELD, "list": firestore.ArrayUnion([1, 2])})
    document.set({"new": None, "n": firestore.Increment(2)}, merge=True)
    assert document.get().to_dict() == {"n": 3, "deep": {"y": 2}, "list": [1, 2], "new": None}
    document.delete()
    assert not document.get().exists


@pytest.mark.parametrize("name", ["__x__", ".", "..", "a" * 1501])
def test_an_id_that_firestore_does_not_allow_is_refused(client: firestore.Client, name: str) -> None:
    for call in (client.document(f"c/{name}").get, lambda: client.document(f"c/{name}").set({})):
        with pytest.raises(google.InvalidArgument, match="invalid or reserved id"):
            call()


def test_preconditions_hold_and_a_batch_is_atomic(client: firestore.Client) -> None:
    client.document("c/a").create({"n": 1})
    with pytest.raises(google.AlreadyExists):
        client.document("c/a").create({})
    with pytest.raises(google.NotFound):
        client.document("c/b").update({"n": 1})
    batch = client.batch()
    batch.set(client.document("c/b"), {})
    batch.create(client.document("c/a"), {})
    with pytest.raises(google.AlreadyExists):
        batch.commit()
    assert not client.document("c/b").get().exists
    stale = client.document("c/a").get()
    client.document("c/a").set({"n": 2})
    with pytest.raises(google.FailedPrecondition, match="does not match"):
        client.document("c/a").update({"n": 3}, option=client.write_option(last_update_time=stale.update_time))


def test_a_write_that_changes_nothing_keeps_the_update_time_and_others_move_it_on(client: firestore.Client) -> None:
    times = [client.document("c/a").set({"n": n}).update_time for n in (1, 1, 2, 3)]
    assert times[0] == times[1] < times[2] < times[3]


def test_contended_transactions_end_at_the_right_sum(client: firestore.Client) -> None:
    document = client.document("c/a")
    document.set({"n": 0})

    @firestore.transactional
    def increment(transaction: Any) -> None:
        transaction.update(document, {"n": document.get(transaction=transaction).get("n") + 1})

    def insist() -> None:
        while True:
            try:
                increment(client.transaction(max_attempts=20))
            except (ValueError, google.Aborted):
                continue
            return

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(insist) for _ in range(24)]:
            done.result(timeout=60)
    assert document.get().get("n") == 24


def test_queries_filter_order_page_and_count(client: firestore.Client) -> None:
    for n in range(6):
        client.document(f"c/d{n}").set({"n": n, "tags": ["even"] if n % 2 == 0 else [], "none": None})
    c = client.collection("c")

    def ids(query: Any) -> list[int]:
        return [found.get("n") for found in query.stream()]

    assert ids(c.where(filter=FieldFilter("n", ">", 3))) == [4, 5]
    assert ids(c.where(filter=FieldFilter("n", "in", [1, 5]))) == [1, 5]
    assert ids(c.where(filter=FieldFilter("tags", "array_contains", "even"))) == [0, 2, 4]
    assert ids(c.where(filter=Or([FieldFilter("n", "==", 0), FieldFilter("n", "==", 3)]))) == [0, 3]
    assert ids(c.order_by("n", direction="DESCENDING").start_after({"n": 4}).limit(2)) == [3, 2]
    assert ids(c.order_by("n").offset(4)) == [4, 5]
    assert ids(c.where(filter=FieldFilter("none", "!=", "x"))) == []
    counted: Any = c.where(filter=FieldFilter("n", "<", 4)).count()
    assert counted.get()[0][0].value == 4
    assert [found.to_dict() for found in c.select(["n"]).limit(1).stream()] == [{"n": 0}]
    client.document("x/y/c/z").set({"n": 9})
    assert len(list(client.collection_group("c").stream())) == 7
    assert [each.id for each in client.collections()] == ["c", "x"]
    assert [each.id for each in c.list_documents()][:2] == ["d0", "d1"]


def test_a_query_without_its_index_is_refused(client: firestore.Client) -> None:
    runs = client.collection("runs").where(filter=FieldFilter("org", "==", "a"))
    assert list(runs.order_by("at", direction="DESCENDING").stream()) == []
    assert list(runs.where(filter=FieldFilter("status", "==", "x")).stream()) == []
    with pytest.raises(google.FailedPrecondition, match="requires an index"):
        list(runs.order_by("at").stream())
    with pytest.raises(google.FailedPrecondition, match="requires an index"):
        list(runs.where(filter=FieldFilter("at", ">", "x")).stream())
    with pytest.raises(google.FailedPrecondition, match="requires an index"):
        list(client.collection("plan").where(filter=FieldFilter("n", "==", 1)).stream())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"x": "a" * 2**20}, "exceeds the maximum"),
        ({"__x__": 1}, "field name"),
        ({"x": [[1]]}, "array value"),
    ],
)
def test_what_firestore_does_not_store_is_refused(client: firestore.Client, data: dict[str, Any], message: str) -> None:
    with pytest.raises(google.InvalidArgument, match=message):
        client.document("c/a").set(data)


def test_reads_and_writes_are_counted_as_they_are_billed(server: FirestoreServer, client: firestore.Client) -> None:
    batch = client.batch()
    for n in range(3):
        batch.set(client.document(f"c/{n}"), {"n": n})
    batch.commit()
    list(client.get_all([client.document("c/1"), client.document("c/absent")]))
    list(client.collection("c").stream())
    list(client.collection("empty").stream())
    client.collection("c").count().get()
    client.document("c/1").delete()
    assert server.counts == {"writes": 3, "reads": 2 + 3 + 1 + 1, "deletes": 1, "aggregations": 1}


def test_listeners_hear_of_changes(client: firestore.Client) -> None:
    heard, seen = [], threading.Semaphore(0)

    def on_change(documents: list[Any], changes: Any, at: Any) -> None:
        heard.append([found.to_dict() for found in documents])
        seen.release()

    watches = [
        client.document("c/a").on_snapshot(on_change),
        client.collection("c").where(filter=FieldFilter("n", ">", 0)).on_snapshot(on_change),
    ]
    for _ in watches:
        assert seen.acquire(timeout=60)
    client.document("c/a").set({"n": 1})
    for _ in watches:
        assert seen.acquire(timeout=60)
    assert heard[2:] == [[{"n": 1}], [{"n": 1}]]
    for watch in watches:
        watch.unsubscribe()
