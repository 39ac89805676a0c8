"""Inspection of a deployment on Google Cloud from an operator's machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from convergence.config.files.functions import FILE, read_function
from convergence.domain.finding import Finding
from convergence.errors import InvalidInput
from convergence.ports.deployment import Declared, DeclaredFunction, DeclaredSubscription, Deployment

if TYPE_CHECKING:
    from convergence.entry.cli.installation import DeploymentPlace

_CALL_S: Final = 30.0
_LOCATION: Final = re.compile(r"[a-z][a-z0-9-]{1,40}")
_NAMES: Final = {
    "project": re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]"),
    "region": _LOCATION,
    "kms_location": _LOCATION,
    "database": re.compile(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]"),
}


async def examine_deployment(place: DeploymentPlace) -> list[Finding]:
    """Compare the project with what the functions and indexes declare; see `adapters.gcp.deployment`.

    Raises:
        InvalidInput: a name is not of Google's form, or the folder holds no function.
        CloudSetup: google-auth is not installed, there is no identity for the query, or the project cannot be queried.
    """
    import httpx

    from convergence.adapters.gcp.deployment.examine import examine
    from convergence.adapters.gcp.deployment.rest import Rest, own_token
    from convergence.adapters.local.clock import SystemClock

    for name, pattern in _NAMES.items():
        if not pattern.fullmatch(getattr(place, name)):
            raise InvalidInput(
                f"{getattr(place, name)[:70]!r} is not the {name.replace('_', ' ')} of a Google Cloud project"
            )
    at = Deployment(
        project=place.project,
        region=place.region,
        kms_location=place.kms_location,
        database=place.database,
        declared=declared(place.functions),
    )
    async with httpx.AsyncClient(timeout=_CALL_S) as client:
        return await examine(at, Rest(client, own_token), SystemClock())


def declared(functions: Path) -> Declared:
    """Return what the code declares. Raises `InvalidInput` when `functions` holds no function.yaml."""
    from convergence.adapters.gcp.documents.indexes import index_file
    from convergence.engine.services import INDEXES, UNINDEXED

    folders = sorted(file.parent for file in functions.glob(f"*/{FILE}"))
    if not folders:
        raise InvalidInput(
            f"{functions} holds no {FILE}: run it in the clone that was deployed, or name its --functions"
        )
    return Declared(
        functions=tuple(_function(folder) for folder in folders), indexes=index_file(INDEXES, UNINDEXED)["indexes"]
    )


def _function(folder: Path) -> DeclaredFunction:
    file = read_function(folder)
    return DeclaredFunction(
        name=file.name,
        access=frozenset(file.access),
        secrets=frozenset(file.secrets),
        subscriptions=tuple(
            DeclaredSubscription(
                topic=each.topic,
                ack_deadline_s=each.ack_deadline_s,
                backoff_min_s=each.backoff_min_s,
                backoff_max_s=each.backoff_max_s,
                deliveries_max=each.deliveries_max,
                dead_letter_topic=each.dead_letter_topic,
            )
            for each in file.triggers
        ),
    )
