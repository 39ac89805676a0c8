"""The method table rests on private names of Google's clients; here it is noticed when they change."""

from __future__ import annotations

import grpc
import pytest
from google.api_core import exceptions as google
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports.grpc import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import firestore
from google.cloud.kms_v1.services.key_management_service.transports.grpc import KeyManagementServiceGrpcTransport
from google.pubsub_v1.services.publisher.transports.grpc import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports.grpc import SubscriberGrpcTransport

from tests.emulators.serving import Refused, Server, methods_of


@pytest.mark.parametrize(
    ("transport", "some"),
    [
        (
            FirestoreGrpcTransport,
            {"Commit": "unary_unary", "RunQuery": "unary_stream", "Listen": "stream_stream"},
        ),
        (PublisherGrpcTransport, {"Publish": "unary_unary", "DeleteTopic": "unary_unary"}),
        (SubscriberGrpcTransport, {"Pull": "unary_unary", "StreamingPull": "stream_stream"}),
        (KeyManagementServiceGrpcTransport, {"Encrypt": "unary_unary", "Decrypt": "unary_unary"}),
    ],
)
def test_a_transport_tells_its_methods_with_raw_messages(transport: type, some: dict[str, str]) -> None:
    methods = methods_of(transport)
    assert {name: methods[name].kind for name in some} == some
    for method in methods.values():
        assert method.path.endswith(f"/{method.name}")
        assert hasattr(method.request, "FromString"), method
        assert hasattr(method.response, "SerializeToString"), method


def client_of(server: Server) -> FirestoreClient:
    channel = grpc.insecure_channel(server.start())
    return FirestoreClient(transport=FirestoreGrpcTransport(channel=channel))


def test_faults_refuse_cut_and_deny_and_calls_are_counted() -> None:
    done = []

    def commit(request: object, context: object) -> object:
        done.append(request)
        return firestore.CommitResponse.pb()()

    server = Server(FirestoreGrpcTransport, {"Commit": commit})
    client = client_of(server)
    server.faults.refuse("Commit")
    server.faults.cut("Commit")
    server.faults.deny("datastore.entities.update", "projects/p")
    for kind, applied in [(google.ServiceUnavailable, 0), (google.ServiceUnavailable, 1), (google.Forbidden, 1)]:
        with pytest.raises(kind):
            client.commit({"database": "d"}, retry=None, timeout=60)
        assert len(done) == applied
    client.commit({"database": "d"}, retry=None, timeout=60)
    assert server.calls == {"Commit": 4}
    client.transport.close()
    server.stop()


def test_a_handlers_refusal_reaches_the_client_and_a_hang_ends_with_its_deadline() -> None:
    def commit(request: object, context: object) -> object:
        raise Refused(grpc.StatusCode.ALREADY_EXISTS, "there")

    server = Server(FirestoreGrpcTransport, {"Commit": commit})
    client = client_of(server)
    with pytest.raises(google.AlreadyExists, match="there"):
        client.commit({"database": "d"}, retry=None, timeout=60)
    server.faults.hang("Commit")
    with pytest.raises(google.DeadlineExceeded):
        client.commit({"database": "d"}, retry=None, timeout=0.1)
    with pytest.raises(google.MethodNotImplemented):
        client.rollback({"database": "d"}, retry=None, timeout=60)
    client.transport.close()
    server.stop()
