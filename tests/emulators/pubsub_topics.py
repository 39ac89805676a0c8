"""The methods of Pub/Sub's publisher service, on a broker."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import grpc
from google.pubsub_v1 import types

from tests.emulators.pubsub_broker import DELETED_TOPIC, Broker
from tests.emulators.serving import Refused

NAME: Final = re.compile(r"projects/[^/]+/(topics|subscriptions|snapshots)/[A-Za-z][A-Za-z0-9._~%+-]{2,254}")
BYTES_MAX: Final = 10_000_000  # Pub/Sub quotas: a request, and a message
INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
MISSING: Final = grpc.StatusCode.NOT_FOUND
EXISTS: Final = grpc.StatusCode.ALREADY_EXISTS


class Topics:
    """Handlers by method name; each runs on the broker's loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topics: dict[str, Any] = {}
        self.handlers = {
            "CreateTopic": self._create,
            "GetTopic": self._get,
            "ListTopics": self._list,
            "DeleteTopic": self._delete,
            "ListTopicSubscriptions": self._subscriptions,
            "Publish": self._publish,
        }

    def _create(self, topic: Any) -> Any:
        check_name(topic.name, "topics")
        if topic.name in self._topics:
            raise Refused(EXISTS, f"Resource already exists in the project (resource={short(topic.name)}).")
        self._topics[topic.name] = topic
        self._broker.topics.add(topic.name)
        return topic

    def _get(self, request: Any) -> Any:
        return self._known(request.topic)

    def _list(self, request: Any) -> Any:
        expected = f"{request.project}/topics/"
        return types.ListTopicsResponse.pb()(
            topics=[each for name, each in self._topics.items() if name.startswith(expected)]
        )

    def _delete(self, request: Any) -> Any:
        from google.protobuf.empty_pb2 import Empty

        self._known(request.topic)
        del self._topics[request.topic]
        self._broker.topics.discard(request.topic)
        for subscription in self._broker.subscriptions.values():
            if subscription.topic == request.topic:
                subscription.topic = DELETED_TOPIC
        return Empty()

    def _subscriptions(self, request: Any) -> Any:
        self._known(request.topic)
        names = [name for name, each in self._broker.subscriptions.items() if each.topic == request.topic]
        return types.ListTopicSubscriptionsResponse.pb()(subscriptions=names)

    def _publish(self, request: Any) -> Any:
        self._known(request.topic)
        check_messages(request.messages, request.ByteSize())
        self._broker.counters.publish_calls += 1
        ids = [self._broker.publish(request.topic, each.data, each.attributes) for each in request.messages]
        return types.PublishResponse.pb()(message_ids=ids)

    def _known(self, name: str) -> Any:
        if name not in self._topics:
            raise Refused(MISSING, f"Resource not found (resource={short(name)}).")
        return self._topics[name]


def short(name: str) -> str:
    """Return the last part of a resource's name, as Google's messages show it."""
    return name.rpartition("/")[2]


def check_name(name: str, kind: str) -> None:
    """Refuse what is not a name of this kind (Pub/Sub documentation: "Resource names")."""
    match = NAME.fullmatch(name)
    if match is None or match[1] != kind or short(name).startswith("goog"):
        raise Refused(INVALID, f"Invalid [{kind}] name: (name={name})")


def check_messages(messages: Iterable[Any], size: int) -> None:
    """Refuse a publish request that is over a limit (Pub/Sub documentation: "Quotas and limits")."""
    found = list(messages)
    if not 1 <= len(found) <= 1000:
        raise Refused(INVALID, f"A publish request has 1 to 1000 messages, not {len(found)}.")
    if size > BYTES_MAX:
        raise Refused(INVALID, f"Request payload size exceeds the limit: {BYTES_MAX} bytes.")
    for message in found:
        if not message.data and not message.attributes:
            raise Refused(INVALID, "One or more messages in the publish request is empty.")
        if message.ordering_key:
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, "ordering keys are not modelled here")
        _check_attributes(message.attributes)


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > 100:
        raise Refused(INVALID, "A message has at most 100 attributes.")
    for key, value in attributes.items():
        if not 1 <= len(key.encode()) <= 256 or key.startswith("goog") or len(value.encode()) > 1024:
            raise Refused(INVALID, f"Invalid attribute {key[:40]!r}.")
