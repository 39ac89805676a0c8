"""The topics and push subscriptions of an installation, made on a stand-in out of functions/*/function.yaml.

On Google Cloud the same files become the same subscriptions by Terraform (infra/).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import grpc
from google.api_core.exceptions import AlreadyExists
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from convergence.config.files.functions import FILE, FunctionFile, Trigger, read_function
from convergence.ports.bus import RetryPolicy

FUNCTIONS: Final = Path(__file__).parents[2] / "functions"


class Admin:
    """Makes topics and subscriptions of one project; what exists already stays as it is."""

    def __init__(self, project: str, *, prefix: str = "", endpoint: str | None, service_account: str = "") -> None:
        """Talk to the stand-in at `endpoint`, or to Google Cloud (None); pushes are signed by `service_account`."""
        self._root, self._prefix, self._service_account = f"projects/{project}", prefix, service_account
        if endpoint is None:
            self._topics, self.subscriber = PublisherAsyncClient(), SubscriberAsyncClient()
        else:
            channel = grpc.aio.insecure_channel(endpoint)
            self._topics = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
            self.subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        self._made = 0

    async def topic(self, topic: str) -> str:
        """Make a topic and return its path."""
        path = f"{self._root}/topics/{self._prefix}{topic}"
        with contextlib.suppress(AlreadyExists):
            await self._topics.create_topic(name=path)
        return path

    async def subscribe(self, topic: str, policy: RetryPolicy, url: str, *, name: str = "", audience: str = "") -> None:
        """Push `topic` to `url`; without a name each call makes one subscription more."""
        self._made += 1
        dead_letters = policy.dead_letter_topic
        push = types.PushConfig(push_endpoint=url)
        if self._service_account:
            push.oidc_token = types.PushConfig.OidcToken(
                service_account_email=self._service_account, audience=audience or url
            )
        spec = types.Subscription(
            name=f"{self._root}/subscriptions/{self._prefix}{name or f'{topic}-{self._made}'}",
            topic=await self.topic(topic),
            push_config=push,
            ack_deadline_seconds=int(policy.ack_deadline_s),
            retry_policy=types.RetryPolicy(
                minimum_backoff=_duration(policy.backoff_min_s), maximum_backoff=_duration(policy.backoff_max_s)
            ),
            expiration_policy=types.ExpirationPolicy(),  # no ttl: never; the default is 31 days without a delivery
        )
        if dead_letters is not None:
            spec.dead_letter_policy = types.DeadLetterPolicy(
                dead_letter_topic=await self.topic(dead_letters), max_delivery_attempts=policy.deliveries_max
            )
        with contextlib.suppress(AlreadyExists):
            await self.subscriber.create_subscription(spec)

    async def listen(self, topic: str) -> str:
        """Make a topic with a subscription that is asked, and return the subscription's path."""
        path = f"{self._root}/subscriptions/{self._prefix}{topic}-pull"
        await self.subscriber.create_subscription(name=path, topic=await self.topic(topic))
        return path

    async def remove(self) -> None:
        """Delete all topics and subscriptions under the prefix, which must not be empty."""
        assert self._prefix, "without a prefix this would empty the project"
        for each in await self.subscriptions():
            if each.startswith(self._prefix):
                await self.subscriber.delete_subscription(subscription=f"{self._root}/subscriptions/{each}")
        async for topic in await self._topics.list_topics(project=self._root):
            if topic.name.rpartition("/")[2].startswith(self._prefix):
                await self._topics.delete_topic(topic=topic.name)

    async def repoint(self, name: str, url: str) -> None:
        """Push to another url from now on, as a new deployment does."""
        path = f"{self._root}/subscriptions/{self._prefix}{name}"
        await self.subscriber.modify_push_config(subscription=path, push_config=types.PushConfig(push_endpoint=url))

    async def subscriptions(self) -> dict[str, types.Subscription]:
        """Return the subscriptions of the project by name."""
        found = await self.subscriber.list_subscriptions(project=self._root)
        return {each.name.rpartition("/")[2]: each async for each in found}

    async def close(self) -> None:
        """Close the clients."""
        await self._topics.transport.close()
        await self.subscriber.transport.close()


def policy_of(trigger: Trigger) -> RetryPolicy:
    """Return a trigger's rules as the bus says them."""
    return RetryPolicy(
        backoff_min_s=trigger.backoff_min_s,
        backoff_max_s=trigger.backoff_max_s,
        deliveries_max=trigger.deliveries_max,
        ack_deadline_s=trigger.ack_deadline_s,
        dead_letter_topic=trigger.dead_letter_topic,
    )


def functions() -> dict[str, FunctionFile]:
    """Return all functions of this repository by name."""
    return {path.parent.name: read_function(path.parent) for path in sorted(FUNCTIONS.glob(f"*/{FILE}"))}


async def connect(
    urls: Mapping[str, str], *, project: str, endpoint: str, prefix: str = "", service_account: str = ""
) -> None:
    """Make all topics, and a push subscription to `{url}/push/{topic}` for each trigger of the functions in `urls`."""
    admin = Admin(project, prefix=prefix, endpoint=endpoint, service_account=service_account)
    try:
        for name, function in functions().items():
            for trigger in function.triggers:
                await admin.topic(trigger.topic)
                if name in urls:
                    url = f"{urls[name].rstrip('/')}/push/{trigger.topic}"
                    policy, subscription = policy_of(trigger), f"{name}-{trigger.topic}"
                    await admin.subscribe(trigger.topic, policy, url, name=subscription, audience=urls[name])
    finally:
        await admin.close()


def _duration(seconds: float) -> Duration:
    return Duration(nanos=round(seconds % 1 * 10**9), seconds=int(seconds))
