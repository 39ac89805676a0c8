"""A new org: its dataset with all tables, its profile, its first key."""

from __future__ import annotations

from pathlib import Path

from convergence.config.sources import SchemaSource
from convergence.errors import Conflict
from convergence.ports.documents import Create, Documents
from convergence.ports.warehouse import Warehouse
from convergence.tenants.api_keys import ApiKey, ApiKeyStore
from convergence.tenants.orgs import Org, check_slug, path
from convergence.tenants.plans import on_plan
from convergence.tenants.schedule_requests import schedule_request


def tables_of_orgs(schemas: SchemaSource) -> list[str]:
    """Return the tables that every org has: all with a schema file except those of the system."""
    return [name for name, file in schemas.paths.items() if "system" not in file.parts[-3:]]


async def onboard(
    documents: Documents,
    warehouse: Warehouse,
    schemas: SchemaSource,
    keys: ApiKeyStore,
    org: Org,
    *,
    dataset: str,
    configs_dir: Path,
) -> tuple[Org, ApiKey, str]:
    """Create dataset and tables, then org and key in one commit; return the key's text, which is shown once.

    A crash leaves an empty dataset, which the next attempt takes over.

    Raises:
        InvalidInput: a bad slug, or a plan that does not exist.
        Conflict: the org exists.
    """
    check_slug(org.slug)
    founded = on_plan(configs_dir, org, org.plan) if org.plan else org
    if await documents.get(path(org.slug)) is not None:
        raise Conflict(f"org {org.slug!r} exists already")
    await warehouse.ensure_dataset(dataset)
    for name in tables_of_orgs(schemas):
        await warehouse.ensure_table(dataset, schemas.get(name))
    text, key = keys.make(org.slug, name="first")
    try:
        await keys.keep(text, key, Create(path(org.slug), founded.to_data()), schedule_request(org.slug, "created"))
    except Conflict as error:
        raise Conflict(f"org {org.slug!r} exists already") from error
    return founded, key, text
