"""Migrations of the orgs' datasets: `configs/system/migrations/**/*.sql`, once each, in the order of their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from convergence.config.files.procedures import load_migrations
from convergence.engine.services import Services, dataset_of
from convergence.errors import NotFound, did_you_mean
from convergence.ports.warehouse import Routine

ORGS_AT_ONCE: Final = 5  # of one request: a script takes seconds, and a request has a minute


class Migrated(NamedTuple):
    """`ran`: dataset → the scripts that ran, or would run; `cursor` leads to further orgs, None when there are none."""

    ran: dict[str, list[str]]
    cursor: str | None


async def migrate_all(services: Services, up_to: str | None = None, *, dry_run: bool = False) -> dict[str, list[str]]:
    """Run the pending migrations of each org's dataset; return dataset → what ran (or would). See `migrate`."""
    ran, cursor = await migrate(services, up_to, dry_run=dry_run)
    while cursor is not None:
        more, cursor = await migrate(services, up_to, dry_run=dry_run, cursor=cursor)
        ran |= more
    return ran


async def migrate(
    services: Services,
    up_to: str | None = None,
    *,
    dry_run: bool = False,
    limit: int = ORGS_AT_ONCE,
    cursor: str | None = None,
) -> Migrated:
    """Run the pending migrations of the datasets of `limit` orgs, all or `up_to` a name.

    Raises:
        NotFound: no migration is called `up_to`.
        ConfigError: a script was changed after it ran.
        StepFailed: a statement failed; datasets and scripts before it stay migrated, and are not done again.
    """
    migrations = load_migrations(services.configs_dir)
    names = [each.name for each in migrations]
    if up_to is not None and up_to not in names:
        raise NotFound(f"There is no migration {up_to[:100]!r}.{did_you_mean(up_to, names)}")
    expected = [each for each in migrations if up_to is None or each.name <= up_to]
    slugs, behind = await services.orgs.slugs_page(limit, cursor)
    return Migrated(await _migrate(services, expected, slugs, dry_run=dry_run), behind)


async def pending(services: Services, slugs: Sequence[str]) -> dict[str, list[str]]:
    """Return dataset → the scripts that it has not seen. Raises `ConfigError` if one was changed after it ran."""
    return await _migrate(services, load_migrations(services.configs_dir), slugs, dry_run=True)


async def _migrate(
    services: Services, scripts: Sequence[Routine], slugs: Sequence[str], *, dry_run: bool
) -> dict[str, list[str]]:
    ran: dict[str, list[str]] = {}
    for slug in slugs:
        dataset = dataset_of(services, slug)
        # Without scripts there is nothing to look up: on BigQuery each look-up is a query, and there are many orgs.
        ran[dataset] = await services.warehouse.migrate(scripts, dataset=dataset, dry_run=dry_run) if scripts else []
    return ran
