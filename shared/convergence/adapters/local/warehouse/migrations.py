"""Migrations: scripts that run once for each dataset, in the order of their names, each in its own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from convergence.adapters.local.warehouse.call import system_variables
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.adapters.local.warehouse.routines import Routines
from convergence.adapters.local.warehouse.statements import Statements
from convergence.adapters.local.warehouse.tables import ensure_dataset
from convergence.errors import ConfigError
from convergence.ports.warehouse import Routine, Scope

if TYPE_CHECKING:
    from convergence.adapters.googlesql.procedures.folded import Folded


def migrate(
    job: Job,
    statements: Statements,
    routines: Routines,
    migrations: Sequence[Routine],
    *,
    dataset: str,
    at: datetime,
    dry_run: bool,
) -> list[str]:
    """Run those that the dataset has not seen; see the port. A dry run checks the first of them against the tables."""
    ensure_dataset(job, dataset)
    pending = _pending(job, migrations, dataset)
    scope = Scope(dataset=dataset, writable=True)
    if dry_run:
        for migration in pending[:1]:  # later ones may need what this one makes
            _rehearse(job, statements, routines, migration, scope)
        return [migration.name for migration in pending]
    for migration in pending:
        with job.transaction():
            _run(job, statements, routines, migration, scope, at)
            values = {"dataset": dataset, "name": migration.name, "digest": migration.digest, "at": at}
            job.execute(statement("migrated"), values)
    return [migration.name for migration in pending]


def _pending(job: Job, migrations: Sequence[Routine], dataset: str) -> list[Routine]:
    done = dict(job.execute(statement("migrations"), {"dataset": dataset}).fetchall())
    for migration in migrations:
        if done.get(migration.name, migration.digest) != migration.digest:
            message = f"{migration.name} was changed after it ran in {dataset}: write a new migration instead"
            raise ConfigError(message, where=migration.source)
    return sorted((each for each in migrations if each.name not in done), key=lambda each: each.name)


def _run(job: Job, statements: Statements, routines: Routines, migration: Routine, scope: Scope, at: datetime) -> None:
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.duckdb_sql.interpreter import Interpreter

    body = _folded(job, statements, routines, migration, scope).body
    context = StatementContext(scope=scope, project=statements.project)
    system = system_variables(statements, scope, f"migration_{migration.name}", at)
    interpreter = Interpreter(job, statements, context, lambda path: routines.procedure(job, path), system)
    interpreter.run_script(body, migration.source)


def _folded(job: Job, statements: Statements, routines: Routines, migration: Routine, scope: Scope) -> Folded:
    """Parse a migration and check what it touches, as on BigQuery."""
    from convergence.adapters.googlesql.procedures.fold import fold_script
    from convergence.adapters.googlesql.procedures.reach import read_folded
    from convergence.adapters.googlesql.scripts.parser import parse_script

    project, body = statements.project, parse_script(routines.with_project(migration, scope.dataset), migration.source)
    system = {"@@project_id": project, "@@dataset_id": scope.dataset, "@@dataset_project_id": project}
    folded = fold_script(body, migration.source, lambda path: routines.procedure(job, path), system)
    read_folded(folded, scope, project=project)
    return folded


def _rehearse(job: Job, statements: Statements, routines: Routines, migration: Routine, scope: Scope) -> None:
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.duckdb_sql.rehearsal import Rehearsal

    folded = _folded(job, statements, routines, migration, scope)
    rehearsal = Rehearsal(job, statements, StatementContext(scope=scope, project=statements.project))
    job.execute("BEGIN TRANSACTION")
    try:
        rehearsal.script(folded)
    finally:
        job.execute("ROLLBACK")
