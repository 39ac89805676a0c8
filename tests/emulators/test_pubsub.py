"""The Pub/Sub server by Google's own clients: what Pub/Sub documents, and what the server says it does not model."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as google
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1.services.publisher.transports.grpc import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports.grpc import SubscriberGrpcTransport

from tests.emulators.pubsub import PubSubServer
from tests.emulators.pubsub_broker import Fate

TOPIC, SUBSCRIPTION, DEAD_LETTERS = (
    "projects/p/topics/topic",
    "projects/p/subscriptions/sub",
    "projects/p/topics/dead-letters",
)


class World:
    """A server with one topic, and Google's clients."""

    def __init__(self) -> None:
        self.server = PubSubServer()
        self.channel = grpc.insecure_channel(self.server.start())
        self.topics = PublisherClient(transport=PublisherGrpcTransport(channel=self.channel))
        self.subs = SubscriberClient(transport=SubscriberGrpcTransport(channel=self.channel))
        self.topics.create_topic(name=TOPIC)

    def subscribe(self, name: str = SUBSCRIPTION, **spec: Any) -> None:
        self.subs.create_subscription({"name": name, "topic": TOPIC, **spec})

    def publish(self, *data: bytes, **attributes: str) -> None:
        self.topics.publish(
            topic=TOPIC, messages=[types.PubsubMessage(data=each, attributes=attributes) for each in data]
        )

    def pull(self, name: str = SUBSCRIPTION, *, most: int = 100, ack: bool = False) -> list[Any]:
        taken = list(self.subs.pull(subscription=name, max_messages=most, return_immediately=True).received_messages)
        if ack and taken:
            self.subs.acknowledge(subscription=name, ack_ids=[each.ack_id for each in taken])
        return taken

    def nack(self, *taken: Any, name: str = SUBSCRIPTION) -> None:
        ids = [each.ack_id for each in taken]
        self.subs.modify_ack_deadline(subscription=name, ack_ids=ids, ack_deadline_seconds=0)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.channel.close()
    made.server.stop()


def data(taken: list[Any]) -> list[bytes]:
    return sorted(each.message.data for each in taken)


@pytest.mark.filterwarnings("ignore:The return_immediately flag is deprecated")
class TestPull:
    """Subscriptions that are asked."""

    def test_a_message_is_leased_until_its_deadline_and_gone_when_acknowledged(self, world: World) -> None:
        world.subscribe(ack_deadline_seconds=20)
        world.publish(b"1", b"2", org="acme")
        first = world.pull()
        assert (data(first), dict(first[0].message.attributes)) == ([b"1", b"2"], {"org": "acme"})
        assert first[0].message.publish_time is not None
        assert first[0].delivery_attempt == 0, "only with a dead-letter policy"
        world.server.advance(19)
        assert not world.pull()
        world.server.advance(2)
        assert data(world.pull(ack=True)) == [b"1", b"2"]
        world.server.advance(600)
        assert not world.pull()

    def test_a_longer_deadline_holds_and_a_late_acknowledgement_does_not(self, world: World) -> None:
        world.subscribe()
        world.publish(b"1")
        (lease,) = world.pull()
        world.subs.modify_ack_deadline(subscription=SUBSCRIPTION, ack_ids=[lease.ack_id], ack_deadline_seconds=100)
        world.server.advance(99)
        assert not world.pull()
        world.server.advance(2)
        world.subs.acknowledge(subscription=SUBSCRIPTION, ack_ids=[lease.ack_id])
        assert data(world.pull()) == [b"1"]

    def test_backoff_doubles_up_to_the_most(self, world: World) -> None:
        policy = {"minimum_backoff": timedelta(seconds=10), "maximum_backoff": timedelta(seconds=30)}
        world.subscribe(retry_policy=policy)
        world.publish(b"1")
        for backoff in (10, 20, 30, 30):
            world.nack(*world.pull())
            world.server.advance(backoff - 1)
            assert not world.pull()
            world.server.advance(1)

    def test_after_the_last_delivery_a_message_moves_to_the_dead_letters_under_its_origin(self, world: World) -> None:
        world.topics.create_topic(name=DEAD_LETTERS)
        world.subs.create_subscription({"name": f"{SUBSCRIPTION}-dead-letters", "topic": DEAD_LETTERS})
        world.subscribe(dead_letter_policy={"dead_letter_topic": DEAD_LETTERS, "max_delivery_attempts": 5})
        world.publish(b"1", org="acme")
        for attempt in range(1, 6):
            (taken,) = world.pull()
            assert taken.delivery_attempt == attempt
            world.nack(taken)
        assert not world.pull()
        (dead_letter,) = world.pull(f"{SUBSCRIPTION}-dead-letters")
        marks = {
            key.removeprefix("CloudPubSubDeadLetterSource"): text
            for key, text in dead_letter.message.attributes.items()
        }
        assert (marks.pop("org"), dead_letter.message.data) == ("acme", b"1")
        assert datetime.fromisoformat(marks.pop("TopicPublishTime")) <= dead_letter.message.publish_time
        assert marks == {"DeliveryCount": "5", "Subscription": "sub", "SubscriptionProject": "p"}

    def test_without_its_dead_letter_topic_a_message_stays(self, world: World) -> None:
        world.subscribe(dead_letter_policy={"dead_letter_topic": DEAD_LETTERS, "max_delivery_attempts": 5})
        world.publish(b"1")
        for _ in range(7):
            world.nack(*world.pull())
        assert data(world.pull()) == [b"1"]

    def test_a_seek_to_a_snapshot_or_a_time_delivers_again(self, world: World) -> None:
        world.subscribe(retain_acked_messages=True)
        world.publish(b"1", b"2")
        world.subs.create_snapshot(name="projects/p/snapshots/before", subscription=SUBSCRIPTION)
        world.pull(ack=True)
        world.server.advance(100)
        world.publish(b"3")
        late = world.pull(ack=True)[0].message.publish_time - timedelta(seconds=50)
        for target, expected in [
            ({"snapshot": "projects/p/snapshots/before"}, [b"1", b"2", b"3"]),
            ({"time": late}, [b"3"]),
            ({"time": late + timedelta(days=1)}, []),
        ]:
            world.subs.seek({"subscription": SUBSCRIPTION, **target})
            assert data(world.pull(ack=True)) == expected

    def test_a_deleted_topic_leaves_its_subscriptions_with_what_they_hold(self, world: World) -> None:
        world.subscribe()
        world.publish(b"1")
        assert list(world.topics.list_topic_subscriptions(topic=TOPIC)) == [SUBSCRIPTION]
        world.topics.delete_topic(topic=TOPIC)
        world.topics.create_topic(name=TOPIC)
        world.publish(b"2")
        assert data(world.pull()) == [b"1"]
        assert world.subs.get_subscription(subscription=SUBSCRIPTION).topic == "_deleted-topic_"

    def test_only_what_passes_the_filter_arrives(self, world: World) -> None:
        world.subscribe(filter='attributes.org = "acme" AND NOT attributes:test')
        world.publish(b"1", org="acme")
        world.publish(b"2", org="acme", test="")
        world.publish(b"3", org="other")
        assert data(world.pull()) == [b"1"]

    def test_messages_are_lost_doubled_and_delayed_as_the_test_decides(self, world: World) -> None:
        world.subscribe()
        fates = {b"lost": Fate(copies=0), b"twice": Fate(copies=2), b"late": Fate(delay_s=1000)}
        world.server.decide(lambda message: fates[message.data])
        world.publish(b"lost", b"twice", b"late")
        assert data(world.pull())[-2:] == [b"twice", b"twice"]
        world.server.advance(1000)
        assert b"late" in data(world.pull())

    def test_an_update_changes_what_may_change(self, world: World) -> None:
        world.subscribe()
        changed = types.Subscription(name=SUBSCRIPTION, ack_deadline_seconds=60, filter="attributes:org")
        world.subs.update_subscription(subscription=changed, update_mask=FieldMask(paths=["ack_deadline_seconds"]))
        assert world.subs.get_subscription(subscription=SUBSCRIPTION).ack_deadline_seconds == 60
        with pytest.raises(google.InvalidArgument, match="filter"):
            world.subs.update_subscription(subscription=changed, update_mask=FieldMask(paths=["filter"]))


def test_a_stream_delivers_at_once_takes_answers_and_gives_back_what_was_not_answered(world: World) -> None:
    world.subscribe()
    requests: Any = queue.Queue()
    requests.put({"subscription": SUBSCRIPTION, "stream_ack_deadline_seconds": 60})
    stream: Any = world.subs.streaming_pull(requests=iter(requests.get, None))
    world.publish(b"1")
    (first,) = next(iter(stream)).received_messages
    requests.put({"modify_deadline_ack_ids": [first.ack_id], "modify_deadline_seconds": [0]})
    (again,) = next(iter(stream)).received_messages
    assert again.message.message_id == first.message.message_id
    requests.put({"ack_ids": [again.ack_id]})
    world.server.until(lambda counters: counters.acked == 1)
    stream.cancel()
    world.publish(b"2")
    taken = world.subs.pull(subscription=SUBSCRIPTION, max_messages=1).received_messages
    assert data(list(taken)) == [b"2"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda w: w.topics.create_topic(name=TOPIC), google.AlreadyExists, r"resource=topic\)"),
        (lambda w: w.topics.create_topic(name="topic"), google.InvalidArgument, "name=topic"),
        (lambda w: w.topics.create_topic(name="projects/p/topics/google"), google.InvalidArgument, "google"),
        (lambda w: w.topics.get_topic(topic=DEAD_LETTERS), google.NotFound, r"resource=dead-letters\)"),
        (lambda w: w.topics.publish(topic=DEAD_LETTERS, messages=[{"data": b"1"}]), google.NotFound, "dead-letters"),
        (lambda w: w.topics.publish(topic=TOPIC, messages=[]), google.InvalidArgument, "1 to 1000"),
        (lambda w: w.topics.publish(topic=TOPIC, messages=[{}]), google.InvalidArgument, "empty"),
        (lambda w: w.publish(b"x" * 10_000_000), google.InvalidArgument, "payload size"),
        (lambda w: w.publish(b"x", goog="1"), google.InvalidArgument, "goog"),
        (lambda w: w.subscribe(ack_deadline_seconds=601), google.InvalidArgument, "10 to 600"),
        (lambda w: w.subscribe(filter="org = 1"), google.InvalidArgument, "Invalid filter"),
        (lambda w: w.subscribe(topic=DEAD_LETTERS), google.NotFound, "dead-letters"),
        (lambda w: w.subscribe(enable_message_ordering=True), google.MethodNotImplemented, "ordering"),
        (
            lambda w: w.subscribe(dead_letter_policy={"dead_letter_topic": DEAD_LETTERS, "max_delivery_attempts": 4}),
            google.InvalidArgument,
            "5 to 100",
        ),
        (
            lambda w: w.subscribe(retry_policy={"minimum_backoff": timedelta(seconds=601)}),
            google.InvalidArgument,
            "backoff",
        ),
        (lambda w: w.subs.delete_subscription(subscription=SUBSCRIPTION), google.NotFound, "sub"),
    ],
)
def test_a_mistake_is_refused_as_google_refuses_it(
    world: World, call: Callable[[World], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(world)
