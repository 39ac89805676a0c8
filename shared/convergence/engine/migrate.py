"""Migrations of the orgs' datasets: `configs/system/migrations/**/*.sql`, once each, in the order of their names."""

from __future__ import annotations

from convergence.config.files.procedures import load_migrations
from convergence.engine.services import Services, dataset_of
from convergence.errors import NotFound, did_you_mean


async def migrate(services: Services, up_to: str | None = None, *, dry_run: bool = False) -> dict[str, list[str]]:
    """Run the pending migrations of each org's dataset, all or `up_to` a name; return dataset → what ran (or would).

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
    done: dict[str, list[str]] = {}
    for slug in await services.orgs.slugs():
        dataset = dataset_of(services, slug)
        # Without scripts there is nothing to ask: on BigQuery each answer is a query, and orgs are many.
        done[dataset] = await services.warehouse.migrate(expected, dataset=dataset, dry_run=dry_run) if expected else []
    return done
