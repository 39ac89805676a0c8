"""Messages into Pub/Sub topics: one awaited RPC for one `publish`, so nothing waits in memory when a function ends.

Deliveries do not come through here: subscriptions push to functions, and their rules are in functions/*/function.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from convergence.adapters.gcp.connection import Connection, transport
from convergence.adapters.retry import retried
from convergence.errors import CloudSetup, InvalidInput, NotFound
from convergence.ports.bus import Message
from convergence.ports.clock import Clock, Ids

if TYPE_CHECKING:
    from google.pubsub_v1 import PublisherAsyncClient
    from google.pubsub_v1.types import PublishRequest, PubsubMessage

# Pub/Sub documentation: "Quotas and limits", resource limits.
MESSAGES_MAX: Final = 1_000  # in a publish request
REQUEST_BYTES_MAX: Final = 10_000_000  # and a single message
ATTRIBUTES_MAX: Final = 100
KEY_BYTES_MAX: Final = 256
VALUE_BYTES_MAX: Final = 1_024
_FRAME_BYTES: Final = 16  # tag and length of a message inside its request, at most
_CALL_S: Final = 10.0


class PubSubBus:
    """`Bus` over Pub/Sub. Needs `pubsub.topics.publish` (role `roles/pubsub.publisher`) on each topic."""

    def __init__(
        self,
        project: str,
        *,
        clock: Clock,
        ids: Ids,
        prefix: str = "",
        endpoint: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Remember where the topics are; nothing is called yet.

        Args:
            project: Google Cloud project of the topics.
            clock: For pauses between attempts.
            ids: For jitter.
            prefix: In front of each topic's name, such as `dev-`.
            endpoint: `host:port` of a stand-in, without TLS and credentials; None is Google Cloud.
            timeout_s: Seconds in which attempts of one request begin; the last may take 10 s more. A function has 60 s
                between the end of its processor (480 s) and its own (540 s). A caller with less time cancels, which
                leaves nothing behind but messages that were accepted.
        """
        self._path = f"projects/{project}/topics/{prefix}"
        self._clock, self._ids = clock, ids
        self._timeout_s = timeout_s
        self._connection: Connection[PublisherAsyncClient] = Connection(
            lambda: _client(endpoint), _close, service="Pub/Sub", clock=clock
        )

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Return when Pub/Sub has stored all messages. Each is checked before the first is sent.

        Raises:
            Transient: no answer in time; some may have been stored.
            InvalidInput: a message is over one of Pub/Sub's limits.
            CloudSetup: the topic does not exist.
            PermissionMissing: the service account may not publish to it.
        """
        for request in list(_requests(self._path + topic, messages)):
            try:
                await retried(
                    partial(self._send, request),
                    clock=self._clock,
                    ids=self._ids,
                    total_s=self._timeout_s,
                )
            except NotFound as error:
                raise CloudSetup(
                    f"{error} Create the topic (terraform apply), or correct project and prefix."
                ) from error

    async def close(self) -> None:
        """Close the client."""
        await self._connection.close()

    async def _send(self, request: PublishRequest) -> None:
        await self._connection.call(
            lambda client: client.publish(request, retry=None, timeout=min(_CALL_S, self._timeout_s)),
            doing=f"publish to {request.topic}",
        )


def _requests(path: str, messages: Sequence[Message]) -> Iterator[PublishRequest]:
    """Yield as few requests as the limits allow."""
    from google.pubsub_v1.types import PublishRequest

    part: list[PubsubMessage] = []
    room = REQUEST_BYTES_MAX - len(path.encode()) - _FRAME_BYTES
    used = 0
    for message in messages:
        packed, size = _packed(message, room, path)
        if part and (len(part) == MESSAGES_MAX or used + size > room):
            yield PublishRequest(topic=path, messages=part)
            part, used = [], 0
        part.append(packed)
        used += size
    if part:
        yield PublishRequest(topic=path, messages=part)


def _packed(message: Message, room: int, path: str) -> tuple[PubsubMessage, int]:
    """Return Google's message and its size in a request. Raises `InvalidInput`."""
    from google.pubsub_v1.types import PubsubMessage

    wrong = _over_limits(message)
    packed = PubsubMessage(data=message.data, attributes=dict(message.attributes))
    size = PubsubMessage.pb(packed).ByteSize() + _FRAME_BYTES
    if not wrong and size > room:
        wrong = f"it has {size} bytes, at most {room} fit; put the data into a document or table and send its name"
    if wrong:
        raise InvalidInput(f"a message for {path} cannot be sent: {wrong}")
    return packed, size


def _over_limits(message: Message) -> str:
    """Return which limit of attributes a message breaks; empty when none."""
    attributes = message.attributes
    if not message.data and not attributes:
        return "it has neither data nor attributes"
    if len(attributes) > ATTRIBUTES_MAX:
        return f"it has {len(attributes)} attributes, at most {ATTRIBUTES_MAX} are allowed"
    for key, value in attributes.items():
        if not key or len(key.encode()) > KEY_BYTES_MAX or key.startswith("goog"):
            return f"attribute {key[:40]!r}: its name must have 1 to {KEY_BYTES_MAX} bytes and must not begin with goog"
        if len(value.encode()) > VALUE_BYTES_MAX:
            return f"attribute {key[:40]!r} has {len(value.encode())} bytes, at most {VALUE_BYTES_MAX} are allowed"
    return ""


def _client(endpoint: str | None) -> PublisherAsyncClient:
    from google.pubsub_v1 import PublisherAsyncClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport

    return PublisherAsyncClient(transport=transport(PublisherGrpcAsyncIOTransport, endpoint))


async def _close(client: PublisherAsyncClient, grace_s: float | None) -> None:
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport as Transport

    assert isinstance(client.transport, Transport), "the client was built on asyncio"
    await client.transport.grpc_channel.close(grace_s)
