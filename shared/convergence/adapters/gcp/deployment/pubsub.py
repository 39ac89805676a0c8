"""Subscriptions and their dead letters.

Shapes: Pub/Sub REST reference, `projects.subscriptions` and `projects.topics.getIamPolicy`; durations are strings of
seconds, such as `600s`. Cloud Run v2 `services.getIamPolicy`, IAM `projects.serviceAccounts.getIamPolicy`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from convergence.adapters.gcp.deployment.bindings import members, service_of
from convergence.adapters.gcp.deployment.rest import Rest
from convergence.domain.finding import Finding
from convergence.ports.deployment import DeclaredSubscription, Deployment

_API: Final = "https://pubsub.googleapis.com/v1/projects"
_APPLY: Final = "apply infra/ (make deploy)"
_INVOKES: Final = "roles/run.invoker"
_SIGNS: Final = "roles/iam.serviceAccountTokenCreator"


async def subscriptions(at: Deployment, rest: Rest, number: str) -> list[Finding]:
    """Compare each subscription with its trigger in function.yaml, and where it pushes with what infra/ makes."""
    there = {}
    async for each in rest.pages(f"{_API}/{at.project}/subscriptions", "subscriptions", pageSize="1000"):
        there[each["name"].rpartition("/")[2]] = each
    found, counted = [], 0
    for function in at.declared.functions:
        url = f"https://{service_of(function.name)}-{number}.{at.region}.run.app"
        for declared in function.subscriptions:
            counted += 1
            name = f"{function.name}-{declared.topic}"
            faults = [*_faults(declared, there.get(name)), *_push_faults(declared, there.get(name), at, url)]
            if faults:
                found.append(Finding("subscriptions", f"{name}: {'; '.join(faults)}", _APPLY))
    return found or [Finding("subscriptions", f"{counted} are as declared")]


def _faults(declared: DeclaredSubscription, there: Mapping[str, Any] | None) -> Iterator[str]:
    if there is None:
        yield "does not exist, so its messages are not delivered"
        return
    if there["topic"].rpartition("/")[2] != declared.topic:
        yield f"hears {there['topic'].rpartition('/')[2]!r}, which is not its topic"
    if there.get("ackDeadlineSeconds") != declared.ack_deadline_s:
        yield f"ack deadline {there.get('ackDeadlineSeconds')} s, declared {declared.ack_deadline_s} s"
    retry = there.get("retryPolicy", {})
    backoff = (retry.get("minimumBackoff"), retry.get("maximumBackoff"))
    if backoff != (f"{declared.backoff_min_s}s", f"{declared.backoff_max_s}s"):
        yield f"backoff {backoff[0]} to {backoff[1]}, declared {declared.backoff_min_s}s to {declared.backoff_max_s}s"
    if "expirationPolicy" not in there or there["expirationPolicy"].get("ttl"):
        yield "expires when it is idle, which would lose messages"
    if there.get("state", "ACTIVE") != "ACTIVE":
        yield f"is in the state {there['state']}"
    policy = there.get("deadLetterPolicy", {})
    forwards = policy.get("deadLetterTopic", "").rpartition("/")[2] or None
    if forwards != declared.dead_letter_topic:
        yield f"dead letters go to {forwards}, declared {declared.dead_letter_topic}"
    elif forwards and policy.get("maxDeliveryAttempts") != declared.deliveries_max:
        yield f"{policy.get('maxDeliveryAttempts')} deliveries, declared {declared.deliveries_max}"


def _push_faults(
    declared: DeclaredSubscription, there: Mapping[str, Any] | None, at: Deployment, url: str
) -> Iterator[str]:
    if there is None:
        return
    push = there.get("pushConfig", {})
    token = push.get("oidcToken", {})
    if push.get("pushEndpoint") != f"{url}/push/{declared.topic}":
        yield f"pushes to {push.get('pushEndpoint')}, declared {url}/push/{declared.topic}"
    if not token.get("serviceAccountEmail"):
        yield "pushes without a token, so the function refuses it"
        return
    if token["serviceAccountEmail"] != _pusher(at):
        yield f"pushes as {token['serviceAccountEmail']}, declared {_pusher(at)}"
    if token.get("audience") != url:
        yield f"pushes for the audience {token.get('audience')}, declared {url}"


async def forwarding(at: Deployment, rest: Rest, number: str) -> list[Finding]:
    """Check that Pub/Sub's own account may forward dead letters: without the rights it silently does not."""
    agent = _agent(number)
    needed = {}
    for function in at.declared.functions:
        for each in function.subscriptions:
            if each.dead_letter_topic:
                needed[f"subscriptions/{function.name}-{each.topic}"] = "roles/pubsub.subscriber"
                needed[f"topics/{each.dead_letter_topic}"] = "roles/pubsub.publisher"
    found = []
    for name, role in needed.items():
        policy = await rest.get(f"{_API}/{at.project}/{name}:getIamPolicy")
        if agent not in members(policy, role):
            found.append(
                Finding("dead letters", f"{name}: Pub/Sub's account lacks {role}, so nothing is forwarded", _APPLY)
            )
    return found or [Finding("dead letters", f"Pub/Sub's account may forward ({len(needed)} bindings)")]


async def pushes(at: Deployment, rest: Rest, number: str) -> list[Finding]:
    """Check that Pub/Sub may call the functions: its tokens are of an account that may invoke them."""
    address = _pusher(at)
    services = f"https://run.googleapis.com/v2/projects/{at.project}/locations/{at.region}/services"
    names = [service_of(each.name) for each in at.declared.functions if each.subscriptions]
    found = []
    for name in names:
        policy = await rest.get(f"{services}/{name}:getIamPolicy")
        if f"serviceAccount:{address}" not in members(policy, _INVOKES):
            found.append(Finding("pushes", f"{name}: {address} lacks {_INVOKES}, so deliveries are refused", _APPLY))
    accounts = f"https://iam.googleapis.com/v1/projects/{at.project}/serviceAccounts"
    if _agent(number) not in members(await rest.post(f"{accounts}/{address}:getIamPolicy", {}), _SIGNS):
        found.append(Finding("pushes", f"Pub/Sub's account lacks {_SIGNS} on {address}, so nothing is sent", _APPLY))
    return found or [Finding("pushes", f"{address} may call {len(names)} functions")]


def _pusher(at: Deployment) -> str:
    return f"convergence-push@{at.project}.iam.gserviceaccount.com"


def _agent(number: str) -> str:
    return f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"
