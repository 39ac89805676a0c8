"""Tables of a newer release: columns that a schema file has and a table has not are added."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from convergence.engine.log_rows import TABLES
from convergence.engine.services import Services, dataset_of
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import SHARED_DATASET

ORGS_AT_ONCE: Final = 25  # of one request, whose queries run at the same time; it has a minute


@dataclass(slots=True)
class SyncedSchemas:
    """`added`: dataset.table → the columns it got, or would get; `failed`: dataset.table → the reason.

    `orgs` were looked at; `cursor` leads to those behind them, None when there are none.
    """

    added: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    orgs: int = 0
    cursor: str | None = None


async def sync_all_schemas(services: Services, *, dry_run: bool = False) -> SyncedSchemas:
    """Add new columns to the tables of the shared dataset and of every org's; see `sync_schemas`."""
    done = await sync_schemas(services, dry_run=dry_run)
    while done.cursor is not None:
        page = await sync_schemas(services, dry_run=dry_run, cursor=done.cursor)
        done.added |= page.added
        done.failed |= page.failed
        done.orgs += page.orgs
        done.cursor = page.cursor
    return done


async def sync_schemas(
    services: Services, *, dry_run: bool = False, limit: int = ORGS_AT_ONCE, cursor: str | None = None
) -> SyncedSchemas:
    """Add new columns to the tables that exist, in the datasets of `limit` orgs; before the first also the shared one.

    Tables that do not exist are left to their first use. A type that changed does not stop the others; a dry run does
    not notice it.
    """
    slugs, behind = await services.orgs.slugs_page(limit, cursor)
    done = SyncedSchemas(orgs=len(slugs), cursor=behind)
    missing = await missing_columns(services, slugs, shared=cursor is None)
    for (dataset, name), columns in missing.items():
        try:
            if not dry_run:
                await services.warehouse.ensure_table(dataset, services.schemas.get(name))
            done.added[f"{dataset}.{name}"] = columns
        except SchemaMismatch as error:
            done.failed[f"{dataset}.{name}"] = str(error)
    return done


async def missing_columns(
    services: Services, slugs: Sequence[str], *, shared: bool
) -> Mapping[tuple[str, str], list[str]]:
    """Return (dataset, table) → the columns that its schema file has and the table lacks."""
    datasets = [*([SHARED_DATASET] if shared else []), *(dataset_of(services, slug) for slug in slugs)]
    stored = await asyncio.gather(*(services.warehouse.column_names(dataset) for dataset in datasets))
    found = {}
    for dataset, tables in zip(datasets, stored, strict=True):
        # An org's log tables are views of the shared ones.
        views = () if dataset == SHARED_DATASET else TABLES.values()
        for name in sorted(services.schemas.paths.keys() & tables.keys() - set(views)):
            columns = [each.name for each in services.schemas.get(name).columns if each.name not in tables[name]]
            if columns:
                found[dataset, name] = columns
    return found


def answer(done: SyncedSchemas, *, dry_run: bool) -> Mapping[str, object]:
    """Return the result as `--json` shows it."""
    return {"dry_run": dry_run, "added": done.added, "failed": done.failed}
