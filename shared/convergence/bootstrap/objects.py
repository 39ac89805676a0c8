"""Opens the places that files come from, for one execution of an org's step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from convergence.config.files.providers import ProviderRegistry, endpoint_of
from convergence.ports.clock import Clock, Ids
from convergence.ports.object_store import ObjectStores

if TYPE_CHECKING:
    import httpx


def object_stores(
    org: str,
    client: Callable[[], httpx.AsyncClient],
    *,
    clock: Clock,
    ids: Ids,
    files: Path | None,
    registry: ProviderRegistry,
    here: bool,
) -> ObjectStores:
    """Return the places of `org`. `here`: the address in a service account's key may be on this machine."""
    from convergence.adapters.google_accounts.tokens import ServiceTokens
    from convergence.adapters.objects.gcs import SCOPE
    from convergence.adapters.objects.stores import Stores

    tokens = ServiceTokens(client, clock, ids)
    return Stores(
        org=org,
        http=client,
        clock=clock,
        files=files,
        endpoint=lambda name: endpoint_of(registry.get(), name),
        google_token=lambda secret: tokens.of_secret(secret, (SCOPE,), here=here),
    )
