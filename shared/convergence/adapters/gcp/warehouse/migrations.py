"""Migrations: scripts that a dataset has not seen, in the order of their names, each one job.

BigQuery takes no permanent DDL into a transaction ("Multi-statement transactions"), so a script that fails in the
middle leaves the statements before: write them so that they can run again (IF NOT EXISTS). A deployment that is
repeated while its first request is still at work waits for that one's job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse.jobs import JobOptions, Jobs
from convergence.adapters.gcp.warehouse.ledger import Ledger
from convergence.adapters.gcp.warehouse.routines import Routines
from convergence.adapters.gcp.warehouse.scripts import rehearse
from convergence.adapters.gcp.warehouse.statements import Statements
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.googlesql.procedures.text import with_project
from convergence.errors import ConfigError, StepFailed
from convergence.ports.warehouse import Parameter, Routine, Scope

if TYPE_CHECKING:
    from convergence.adapters.googlesql.procedures.reach import Reach


class Migrations:
    """Runs migrations."""

    def __init__(
        self,
        jobs: Jobs,
        tables: Tables,
        statements: Statements,
        routines: Routines,
        ledger: Ledger,
        options: JobOptions,
    ) -> None:
        self._jobs, self._tables, self._statements = jobs, tables, statements
        self._routines, self._ledger, self._options = routines, ledger, options

    async def migrate(self, migrations: Sequence[Routine], *, dataset: str, dry_run: bool) -> list[str]:
        """Run those that the dataset has not seen; see the port."""
        pending = await self._pending(migrations, dataset)
        if not pending:
            return []
        await self._tables.ensure_dataset(dataset)
        scope = Scope(dataset=dataset, writable=True)
        if dry_run:
            for migration in pending[:1]:  # later ones may need what this one makes
                reach, _ = await self._read(migration, scope)
                await rehearse(self._statements, scope, reach)
            return [migration.name for migration in pending]
        await self._ledger.ensure_migrations(dataset)
        for migration in pending:
            await self._run(migration, scope)
        return [migration.name for migration in pending]

    async def _pending(self, migrations: Sequence[Routine], dataset: str) -> list[Routine]:
        done = await self._ledger.migrated(dataset)
        for migration in migrations:
            if done.get(migration.name, migration.digest) != migration.digest:
                message = f"{migration.name} was changed after it ran in {dataset}: write a new migration instead"
                raise ConfigError(message, where=migration.source)
        return sorted((each for each in migrations if each.name not in done), key=lambda each: each.name)

    async def _run(self, migration: Routine, scope: Scope) -> None:
        reach, text = await self._read(migration, scope)
        record = (
            f"INSERT INTO {self._ledger.migrations(scope.dataset)} (dataset, name, digest, applied_at)\n"
            "VALUES (@convergence_dataset, @convergence_name, @convergence_digest, @convergence_at);"
        )
        parameters = {
            "convergence_dataset": Parameter("STRING", scope.dataset),
            "convergence_name": Parameter("STRING", migration.name),
            "convergence_digest": Parameter("STRING", migration.digest),
            "convergence_at": Parameter("TIMESTAMP", self._jobs.client.clock.now()),
        }
        config = self._statements.config(scope, parameters, **self._options.plain())
        script = f"{text}{'' if text.endswith(';') else ';'}\n{record}"
        job_id = await self._job_id(migration, scope.dataset)
        try:
            ended = await self._jobs.query(job_id, script, config, what=f"the migration {migration.name}")
        except StepFailed as error:
            from convergence.adapters.googlesql.access import Touched

            touched = Touched(frozenset(), frozenset(), frozenset(reach.existing))
            explained = await self._statements.explained(error, touched)
            raise StepFailed(f"{migration.source}: {explained}") from error
        if ended.repeated and migration.name not in await self._ledger.migrated(scope.dataset):
            raise StepFailed(
                f"{migration.source}: job {ended.job.job_id} has run it in {scope.dataset}, but the list of migrations"
                " lacks it. Insert its line again, or write a new migration."
            )

    async def _job_id(self, migration: Routine, dataset: str) -> str:
        """Return the id under which every process runs a script, so that two at a time run it once.

        A list that was made anew belongs to a dataset that was made anew, whose scripts run again.
        """
        listed = await self._ledger.listed_since(dataset)
        parts = "\n".join([dataset, migration.name, migration.digest, listed])
        return f"migration_{hashlib.sha256(parts.encode()).hexdigest()}"

    async def _read(self, migration: Routine, scope: Scope) -> tuple[Reach, str]:
        """Return what a migration touches, and the text that is sent: dynamic SQL is a literal in it."""
        from convergence.adapters.gcp.warehouse.composed import Composer
        from convergence.adapters.googlesql.procedures.fold import fold_script
        from convergence.adapters.googlesql.procedures.reach import read_folded
        from convergence.adapters.googlesql.scripts.parser import parse_script

        project = self._jobs.client.project
        text = with_project(migration, project, scope.dataset).rstrip()
        body = parse_script(text, migration.source)
        called = await self._routines.called_by(body, migration.source)
        system = {"@@project_id": project, "@@dataset_id": scope.dataset, "@@dataset_project_id": project}
        folded = fold_script(body, migration.source, called.__getitem__, system)
        reach = read_folded(folded, scope, project=project)
        return reach, Composer(reach).script(folded, text)
