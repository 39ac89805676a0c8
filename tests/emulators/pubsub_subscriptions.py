"""The methods of Pub/Sub's subscriber service, on a broker; StreamingPull is in `pubsub.py`, it lives in a thread."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Any, Final

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from tests.emulators.pubsub_broker import Broker, Held, Rules, Subscription
from tests.emulators.pubsub_filter import BadFilter, parse_filter
from tests.emulators.pubsub_push import Pusher, Target
from tests.emulators.pubsub_topics import EXISTS, INVALID, MISSING, check_name, short
from tests.emulators.serving import Refused

_NOT_MODELLED: Final = (
    "enable_message_ordering",
    "enable_exactly_once_delivery",
    "bigquery_config",
    "cloud_storage_config",
    "bigtable_config",
    "message_transforms",
)
_PULL_S: Final = 5.0  # a pull without messages answers empty after this
_UPDATABLE: Final = frozenset(
    {"ack_deadline_seconds", "push_config", "retry_policy", "dead_letter_policy", "retain_acked_messages", "labels"}
    | {"expiration_policy", "message_retention_duration"}
)


class Subscriptions:
    """Handlers by method name; each runs on the broker's loop."""

    def __init__(self, broker: Broker, pusher: Pusher) -> None:
        self._broker = broker
        self._pusher = pusher
        self._specs: dict[str, Any] = {}
        self.handlers = {
            "CreateSubscription": self._create,
            "GetSubscription": self._get,
            "UpdateSubscription": self._update,
            "ListSubscriptions": self._list,
            "DeleteSubscription": self._delete,
            "ModifyPushConfig": self._modify_push,
            "Pull": self._pull,
            "Acknowledge": self._acknowledge,
            "ModifyAckDeadline": self._modify_deadline,
            "CreateSnapshot": self._snapshot,
            "DeleteSnapshot": self._delete_snapshot,
            "Seek": self._seek,
        }

    def _create(self, spec: Any) -> Any:
        check_name(spec.name, "subscriptions")
        if spec.name in self._specs:
            raise Refused(EXISTS, f"Resource already exists in the project (resource={short(spec.name)}).")
        if spec.topic not in self._broker.topics:
            raise Refused(MISSING, f"Resource not found (resource={short(spec.topic)}).")
        spec.ack_deadline_seconds = spec.ack_deadline_seconds or 10
        subscription = Subscription(spec.name, spec.topic, rules_of(spec))
        self._specs[spec.name] = spec
        self._broker.subscriptions[spec.name] = subscription
        self._pusher.point(subscription, target_of(spec))
        return spec

    def _get(self, request: Any) -> Any:
        found = self.known(request.subscription)
        spec = self._specs[request.subscription]
        spec.topic = found.topic
        return spec

    def _update(self, request: Any) -> Any:
        subscription = self.known(request.subscription.name)
        paths = list(request.update_mask.paths)
        refused = {path.partition(".")[0] for path in paths} - _UPDATABLE
        if not paths or refused:
            raise Refused(INVALID, f"Invalid update_mask: these cannot be changed: {sorted(refused)}.")
        changed = types.Subscription.pb()()
        changed.CopyFrom(self._specs[subscription.name])
        for path in paths:
            changed.ClearField(path)
            if request.subscription.DESCRIPTOR.fields_by_name[path].message_type is None:
                setattr(changed, path, getattr(request.subscription, path))
            elif path == "labels":
                changed.labels.update(request.subscription.labels)
            elif request.subscription.HasField(path):
                getattr(changed, path).CopyFrom(getattr(request.subscription, path))
        subscription.rules = rules_of(changed)
        self._specs[subscription.name] = changed
        self._pusher.point(subscription, target_of(changed))
        return changed

    def _list(self, request: Any) -> Any:
        expected = f"{request.project}/subscriptions/"
        found = [spec for name, spec in self._specs.items() if name.startswith(expected)]
        return types.ListSubscriptionsResponse.pb()(subscriptions=found)

    def _delete(self, request: Any) -> Any:
        subscription = self.known(request.subscription)
        subscription.deleted = True
        self._pusher.point(subscription, None)
        del self._specs[subscription.name], self._broker.subscriptions[subscription.name]
        return Empty()

    def _modify_push(self, request: Any) -> Any:
        subscription = self.known(request.subscription)
        self._specs[subscription.name].push_config.CopyFrom(request.push_config)
        self._pusher.point(subscription, target_of(self._specs[subscription.name]))
        return Empty()

    async def _pull(self, request: Any) -> Any:
        subscription = self.known(request.subscription)
        if subscription.rules.push or request.max_messages < 1:
            raise Refused(INVALID, "Pull needs a pull subscription and max_messages of at least 1.")
        taken = self._broker.take(subscription, request.max_messages)
        if not taken and not request.return_immediately:
            taken = await self.wait(subscription, request.max_messages, _PULL_S)
        return types.PullResponse.pb()(received_messages=[received(subscription, *each) for each in taken])

    async def wait(self, subscription: Subscription, most: int, seconds: float) -> list[tuple[str, Held]]:
        """Take messages as soon as there are some; nothing after `seconds`."""
        try:
            await asyncio.wait_for(self._broker.until(lambda: bool(subscription.ready)), seconds)
        except TimeoutError:
            return []
        return self._broker.take(subscription, most)

    def _acknowledge(self, request: Any) -> Any:
        subscription = self.known(request.subscription)
        for ack_id in request.ack_ids:
            self._broker.ack(subscription, ack_id)
        return Empty()

    def _modify_deadline(self, request: Any) -> Any:
        subscription = self.known(request.subscription)
        if not 0 <= request.ack_deadline_seconds <= 600:
            raise Refused(INVALID, "ack_deadline_seconds is 0 to 600.")
        for ack_id in request.ack_ids:
            self._broker.extend(subscription, ack_id, request.ack_deadline_seconds)
        return Empty()

    def _snapshot(self, request: Any) -> Any:
        check_name(request.name, "snapshots")
        if request.name in self._broker.snapshots:
            raise Refused(EXISTS, f"Resource already exists in the project (resource={short(request.name)}).")
        subscription = self.known(request.subscription)
        self._broker.snapshot(request.name, subscription)
        return types.Snapshot.pb()(name=request.name, topic=subscription.topic)

    def _delete_snapshot(self, request: Any) -> Any:
        if self._broker.snapshots.pop(request.snapshot, None) is None:
            raise Refused(MISSING, f"Resource not found (resource={short(request.snapshot)}).")
        return Empty()

    def _seek(self, request: Any) -> Any:
        subscription = self.known(request.subscription)
        if request.WhichOneof("target") == "time":
            at = request.time.ToDatetime(UTC)
            self._broker.seek(subscription, unacked=lambda held: held.message.at >= at)
            return types.SeekResponse.pb()()
        if request.snapshot not in self._broker.snapshots:
            raise Refused(MISSING, f"Resource not found (resource={short(request.snapshot)}).")
        known, unacked = self._broker.snapshots[request.snapshot]
        self._broker.seek(subscription, unacked=lambda held: held.message.message_id in unacked or held.number > known)
        return types.SeekResponse.pb()()

    def known(self, name: str) -> Subscription:
        """Return a subscription, or refuse with NOT_FOUND."""
        if name not in self._broker.subscriptions:
            raise Refused(MISSING, f"Resource not found (resource={short(name)}).")
        return self._broker.subscriptions[name]


def rules_of(spec: Any) -> Rules:
    """Return a subscription's rules; refuse what is out of Pub/Sub's bounds or not modelled here."""
    for name in _NOT_MODELLED:
        if any(descriptor.name == name for descriptor, _ in spec.ListFields()):
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not modelled here")
    if not 10 <= spec.ack_deadline_seconds <= 600:
        raise Refused(INVALID, "ack_deadline_seconds is 10 to 600.")
    dead = spec.dead_letter_policy
    deliveries_max = (dead.max_delivery_attempts or 5) if dead.dead_letter_topic else 0
    if dead.dead_letter_topic and not 5 <= deliveries_max <= 100:
        raise Refused(INVALID, "max_delivery_attempts is 5 to 100.")
    try:
        passes = parse_filter(spec.filter)
    except BadFilter as error:
        raise Refused(INVALID, f"Invalid filter: {error}") from error
    return Rules(
        ack_deadline_s=spec.ack_deadline_seconds,
        backoff=_backoff(spec.retry_policy) if spec.HasField("retry_policy") else None,
        dead_letter_topic=dead.dead_letter_topic,
        deliveries_max=deliveries_max,
        passes=passes,
        retain_acked=spec.retain_acked_messages,
    )


def _backoff(policy: Any) -> tuple[float, float]:
    least = policy.minimum_backoff.ToTimedelta().total_seconds() if policy.HasField("minimum_backoff") else 10.0
    most = policy.maximum_backoff.ToTimedelta().total_seconds() if policy.HasField("maximum_backoff") else 600.0
    if not 0 <= least <= most <= 600:
        raise Refused(INVALID, "minimum and maximum backoff are 0 to 600 seconds, the minimum first.")
    return least, most


def target_of(spec: Any) -> Target | None:
    """Return where a subscription pushes; None for a pull subscription."""
    push = spec.push_config
    if not push.push_endpoint:
        return None
    return Target(push.push_endpoint, push.oidc_token.service_account_email, push.oidc_token.audience)


def received(subscription: Subscription, ack_id: str, held: Held) -> Any:
    """Return a delivery as a pull shows it; `delivery_attempt` is 0 without a dead-letter policy."""
    found = types.ReceivedMessage.pb()(ack_id=ack_id)
    found.message.data = held.message.data
    found.message.attributes.update(held.message.attributes)
    found.message.message_id = held.message.message_id
    found.message.publish_time.FromDatetime(held.message.at)
    if subscription.rules.dead_letter_topic:
        found.delivery_attempt = held.deliveries
    return found
