"""Who has which role: the accounts of functions, compared with the `access` of their function.yaml.

Shapes: IAM, `Policy`; BigQuery, `Dataset.access`. The roles are those of infra/accounts.tf and docs/google-cloud.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.adapters.gcp.deployment.rest import Rest
from convergence.adapters.gcp.roles import OWN_ROLES, own_role
from convergence.domain.finding import Finding
from convergence.errors import NotFound
from convergence.ports.deployment import DeclaredFunction, Deployment

PROJECT_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "firestore": ("roles/datastore.user",),
    "warehouse": ("roles/bigquery.jobUser", "convergenceWarehouse"),
    "setup": ("convergenceSetup",),
}
# As infra/secrets.tf names them; mail without a password has no secret.
SECRETS: Final = {"CONVERGENCE_ROOT_KEY": "convergence-root-key", "SMTP_PASSWORD": "convergence-smtp-password"}
_OPTIONAL: Final = frozenset({"SMTP_PASSWORD"})
TICK: Final = "tick"  # published by Cloud Scheduler alone
_PUBLISHER: Final = "roles/pubsub.publisher"
_SEALS: Final = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
_READS: Final = "roles/secretmanager.secretAccessor"
_LOGS: Final = "convergenceLogs"


def members(policy: Mapping[str, Any], role: str) -> frozenset[str]:
    """Return who has the role without a condition."""
    return frozenset(
        member
        for each in policy.get("bindings", ())
        if each.get("role") == role and "condition" not in each
        for member in each.get("members", ())
    )


def service_of(function: str) -> str:
    """Return the name of a function's service and account: `dead_letter` is `convergence-dead-letter`."""
    return f"convergence-{function}".replace("_", "-")


async def permissions(at: Deployment, rest: Rest) -> list[Finding]:
    """Name every role that a function's account lacks, one finding for each function."""
    project = await rest.post(f"https://cloudresourcemanager.googleapis.com/v3/projects/{at.project}:getIamPolicy", {})
    lacking = {each.name: _lacking_on_project(at, each, project) for each in at.declared.functions}
    topics = sorted({each.topic for function in at.declared.functions for each in function.subscriptions} - {TICK})
    for topic in topics:
        url = f"https://pubsub.googleapis.com/v1/projects/{at.project}/topics/{topic}:getIamPolicy"
        _add(lacking, at, "publish", members(await rest.get(url), _PUBLISHER), f"{_PUBLISHER} on {topic}")
    _add(lacking, at, "credentials", members(await rest.get(f"{key(at)}:getIamPolicy"), _SEALS), f"{_SEALS} on the key")
    dataset = await rest.get(
        f"https://bigquery.googleapis.com/bigquery/v2/projects/{at.project}/datasets/organizations"
    )
    writers = frozenset(
        f"serviceAccount:{each['userByEmail']}"
        for each in dataset.get("access", ())
        if each.get("role") == own_role(at.project, _LOGS) and "userByEmail" in each
    )
    _add(lacking, at, "logs", writers, f"{own_role(at.project, _LOGS)} on the dataset organizations")
    await _add_secrets(lacking, at, rest)
    found = [
        Finding("permissions", f"{account(at, name)} lacks {', '.join(roles)}", "apply infra/ (make deploy)")
        for name, roles in lacking.items()
        if roles
    ]
    return found or [Finding("permissions", f"{len(lacking)} accounts have their roles")]


def account(at: Deployment, function: str) -> str:
    """Return the address of a function's account."""
    return f"{service_of(function)}@{at.project}.iam.gserviceaccount.com"


def key(at: Deployment) -> str:
    """Return the address of the key that seals credentials."""
    rings = f"https://cloudkms.googleapis.com/v1/projects/{at.project}/locations/{at.kms_location}/keyRings"
    return f"{rings}/convergence/cryptoKeys/credentials"


def _lacking_on_project(at: Deployment, function: DeclaredFunction, policy: Mapping[str, Any]) -> list[str]:
    member = f"serviceAccount:{account(at, function.name)}"
    roles = [_full(at, role) for word in sorted(function.access) for role in PROJECT_ROLES.get(word, ())]
    return [role for role in roles if member not in members(policy, role)]


def _full(at: Deployment, role: str) -> str:
    return own_role(at.project, role) if role in OWN_ROLES else role


async def _add_secrets(lacking: Mapping[str, list[str]], at: Deployment, rest: Rest) -> None:
    for name, secret in SECRETS.items():
        url = f"https://secretmanager.googleapis.com/v1/projects/{at.project}/secrets/{secret}:getIamPolicy"
        try:
            readers = members(await rest.get(url), _READS)
        except NotFound:
            if name in _OPTIONAL:
                continue
            raise
        for function in at.declared.functions:
            if name in function.secrets and f"serviceAccount:{account(at, function.name)}" not in readers:
                lacking[function.name].append(f"{_READS} on {secret}")


def _add(lacking: Mapping[str, list[str]], at: Deployment, word: str, having: frozenset[str], role: str) -> None:
    for function in at.declared.functions:
        if word in function.access and f"serviceAccount:{account(at, function.name)}" not in having:
            lacking[function.name].append(role)
