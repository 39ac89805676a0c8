"""All checks of a deployment, in the order in which one fault explains the next.

Shapes: Cloud Functions v2 `functions.list`, Cloud Scheduler `jobs.get`, Cloud KMS `cryptoKeys.get`, Resource Manager v3
`projects.get` and `projects.testIamPermissions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from convergence.adapters.gcp.deployment import bigquery, pubsub
from convergence.adapters.gcp.deployment.bindings import key, permissions, service_of
from convergence.adapters.gcp.deployment.firestore import indexes
from convergence.adapters.gcp.deployment.rest import Rest
from convergence.domain.finding import Finding
from convergence.errors import ConvergenceError, NotFound, PermissionMissing
from convergence.ports.clock import Clock
from convergence.ports.deployment import Deployment

SKEW: Final = timedelta(seconds=10)  # the clock skew that signatures of requests and tokens tolerate
NEEDED: Final = (
    "resourcemanager.projects.get",
    "resourcemanager.projects.getIamPolicy",
    "bigquery.datasets.get",
    "cloudfunctions.functions.list",
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeys.getIamPolicy",
    "cloudscheduler.jobs.get",
    "datastore.indexes.list",
    "iam.roles.get",
    "iam.serviceAccounts.getIamPolicy",
    "pubsub.subscriptions.list",
    "pubsub.subscriptions.getIamPolicy",
    "pubsub.topics.getIamPolicy",
    "run.services.getIamPolicy",
    "secretmanager.secrets.getIamPolicy",
)
LOOK: Final = "grant the caller roles/viewer and roles/iam.securityReviewer on the project"
_APPLY: Final = "apply infra/ (make deploy)"
_PROJECTS: Final = "https://cloudresourcemanager.googleapis.com/v3/projects"


async def examine(at: Deployment, rest: Rest, clock: Clock) -> list[Finding]:
    """Return the findings. Nothing is changed, and a part that cannot be inspected is a finding too."""
    allowed = (await rest.post(f"{_PROJECTS}/{at.project}:testIamPermissions", {"permissions": NEEDED})).get(
        "permissions"
    )
    hidden = sorted(set(NEEDED) - set(allowed or ()))
    found = [Finding("view", f"not allowed: {', '.join(hidden)}", LOOK)] if hidden else []
    found += [_clock(rest, clock)]
    checks: list[tuple[str, Callable[[], Awaitable[list[Finding] | Finding]]]] = [
        ("permissions", lambda: permissions(at, rest)),
        ("roles", lambda: bigquery.roles(at, rest)),
        ("datasets", lambda: bigquery.datasets(at, rest)),
        ("subscriptions", lambda: _with_number(pubsub.subscriptions, at, rest)),
        ("dead letters", lambda: _with_number(pubsub.forwarding, at, rest)),
        ("pushes", lambda: _with_number(pubsub.pushes, at, rest)),
        ("indexes", lambda: indexes(at, rest)),
        ("key", lambda: _key(at, rest)),
        ("functions", lambda: _functions(at, rest)),
        ("ticks", lambda: _ticks(at, rest)),
    ]
    for name, check in checks:
        try:
            answer = await check()
        except PermissionMissing as error:
            answer = Finding(name, f"cannot be seen: {error}", LOOK)
        except NotFound as error:
            answer = Finding(name, f"does not exist: {error}", _APPLY)
        except ConvergenceError as error:
            answer = Finding(name, str(error), "try again; if the error persists, see docs/runbooks.md")
        found += answer if isinstance(answer, list) else [answer]
    return found


def _clock(rest: Rest, clock: Clock) -> Finding:
    assert rest.answered_at is not None, "Google dates every answer"
    skew = abs(clock.now() - rest.answered_at)
    seconds = round(skew.total_seconds())
    if skew > SKEW:
        return Finding("clock", f"{seconds} s from Google's", "set this machine's clock (NTP): signatures are refused")
    return Finding("clock", f"within {SKEW.seconds} s of Google's")


async def _with_number(
    check: Callable[[Deployment, Rest, str], Awaitable[list[Finding]]], at: Deployment, rest: Rest
) -> list[Finding]:
    """Run a check that needs the project's number: it is in addresses of functions and of Pub/Sub's own account."""
    number = (await rest.get(f"{_PROJECTS}/{at.project}"))["name"].rpartition("/")[2]
    return await check(at, rest, number)


async def _key(at: Deployment, rest: Rest) -> Finding:
    found = await rest.get(key(at))
    state = found.get("primary", {}).get("state", "without a version")
    if state != "ENABLED":
        return Finding("key", f"its version is {state}", "enable the key's version (docs/runbooks.md)")
    if "rotationPeriod" not in found:
        return Finding("key", "is never rotated", _APPLY)
    return Finding("key", f"enabled, rotated every {int(found['rotationPeriod'].rstrip('s')) // 86_400} days")


async def _functions(at: Deployment, rest: Rest) -> list[Finding]:
    url = f"https://cloudfunctions.googleapis.com/v2/projects/{at.project}/locations/{at.region}/functions"
    there = {each["name"].rpartition("/")[2]: each async for each in rest.pages(url, "functions", pageSize="100")}
    found, releases = [], {}
    for function in at.declared.functions:
        each = there.get(service_of(function.name))
        if each is None:
            found.append(Finding("functions", f"{service_of(function.name)} does not exist", _APPLY))
            continue
        if each.get("state") != "ACTIVE":
            reason = "; ".join(message.get("message", "") for message in each.get("stateMessages", ()))
            found.append(Finding("functions", f"{function.name} is {each.get('state')}: {reason}"[:300], _APPLY))
        packed = each.get("buildConfig", {}).get("source", {}).get("storageSource", {}).get("object", "")
        releases[function.name] = packed.removeprefix("releases/").partition("/")[0]
    if len(set(releases.values())) > 1:
        versions = ", ".join(f"{name} {release}" for name, release in sorted(releases.items()))
        found.append(Finding("functions", f"of several releases: {versions}", "deploy again, or roll back"))
    return found or [Finding("functions", f"{len(releases)} are active, release {min(releases.values(), default='-')}")]


async def _ticks(at: Deployment, rest: Rest) -> Finding:
    jobs = f"https://cloudscheduler.googleapis.com/v1/projects/{at.project}/locations/{at.region}/jobs"
    job = await rest.get(f"{jobs}/convergence-tick")
    if job.get("state") != "ENABLED":
        cure = f"gcloud scheduler jobs resume convergence-tick --project={at.project} --location={at.region}"
        return Finding("ticks", f"the job convergence-tick is {job.get('state')}", cure)
    failed = job.get("status", {}).get("code", 0)
    if failed:
        return Finding("ticks", f"the last tick could not be published (code {failed})", _APPLY)
    return Finding("ticks", f"enabled, {job.get('schedule')}")
