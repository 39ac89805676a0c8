"""BigQuery: the project's own roles, and the datasets that all orgs share.

Shapes: IAM REST reference, `projects.roles.get`; BigQuery, `datasets.get`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from convergence.adapters.gcp.deployment.rest import Rest
from convergence.adapters.gcp.roles import OWN_ROLES, own_role
from convergence.adapters.gcp.warehouse.ledger import LEDGER
from convergence.adapters.gcp.warehouse.stage import STAGING
from convergence.domain.finding import Finding
from convergence.errors import NotFound
from convergence.ports.deployment import Deployment
from convergence.ports.warehouse import SHARED_DATASET

SHARED: Final = (SHARED_DATASET, LEDGER, STAGING)  # steps may not create datasets
_APPLY: Final = "apply infra/ (make deploy)"


async def roles(at: Deployment, rest: Rest) -> list[Finding]:
    """Compare the permissions of each role of our own with those that the code declares."""
    found = []
    for name, permissions in OWN_ROLES.items():
        role = await rest.get(f"https://iam.googleapis.com/v1/{own_role(at.project, name)}")
        found += [Finding("roles", f"{name} {fault}", _APPLY) for fault in _faults(role, permissions)]
    return found or [Finding("roles", f"{len(OWN_ROLES)} have their permissions")]


def _faults(role: Mapping[str, Any], permissions: tuple[str, ...]) -> Iterator[str]:
    if role.get("deleted"):
        yield "is deleted"
    has = set(role.get("includedPermissions", ()))
    if lacking := sorted(set(permissions) - has):
        yield f"lacks {', '.join(lacking)}"
    if more := sorted(has - set(permissions)):
        yield f"has more than it needs: {', '.join(more)}"


async def datasets(at: Deployment, rest: Rest) -> list[Finding]:
    """Look whether the datasets exist in which every org's step works."""
    found = []
    for name in SHARED:
        try:
            await rest.get(f"https://bigquery.googleapis.com/bigquery/v2/projects/{at.project}/datasets/{name}")
        except NotFound:
            found.append(Finding("datasets", f"{name} does not exist", _APPLY))
    return found or [Finding("datasets", f"{len(SHARED)} that all orgs share exist")]
