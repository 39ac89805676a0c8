"""One statement that a user or a processor sends: read, written once, or only looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse_client import HTTP
from convergence.adapters.gcp.warehouse_jobs import AnyJob, Ended, JobOptions, Jobs, Options
from convergence.adapters.gcp.warehouse_lineage import (
    DECLARED,
    lineage_parameters,
    settle_statements,
    with_lineage,
)
from convergence.adapters.gcp.warehouse_statements import Statement, Statements, spelled
from convergence.adapters.gcp.warehouse_tables import Tables
from convergence.adapters.gcp.warehouse_values import port_rows
from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter, QueryResult, Scope

if TYPE_CHECKING:
    from google.cloud import bigquery


class Queries:
    """Runs single statements."""

    def __init__(self, jobs: Jobs, tables: Tables, statements: Statements, options: JobOptions) -> None:
        self._jobs, self._tables, self._statements, self._options = jobs, tables, statements, options

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Parameter],
        *,
        scope: Scope,
        job_id: str | None,
        rows_max: int,
        bytes_max: int | None,
        dry_run: bool,
        wait_s: float | None,
    ) -> QueryResult:
        """Run a statement; see the port."""
        statement = self._statements.prepare(sql, scope, parameters=parameters)
        parameters = spelled(statement.tree, parameters)
        options = await self._options.of(scope.lineage)
        if bytes_max is not None:
            options.config["maximum_bytes_billed"] = bytes_max
        if dry_run:
            config = self._statements.config(scope, parameters, **options.config)
            size = await self._statements.dry_run(sql, config, statement.touched)
            return QueryResult(bytes_processed=size, tables=statement.touched.names)
        job_id = job_id or self._jobs.client.ids.new("query")
        settled = await self._settled(statement, scope)
        if settled and not statement.defines:
            return await self._in_transaction(statement, parameters, scope, settled, job_id, options, wait_s)
        config = self._statements.config(scope, parameters, **options.config)
        ended = await self._run(job_id, sql, config, statement, options, wait_s)
        if statement.defines:
            await self._settle_after(statement, scope, job_id, options)
        return await self._answer(ended.job, statement, rows_max)

    async def _in_transaction(
        self,
        statement: Statement,
        parameters: Mapping[str, Parameter],
        scope: Scope,
        settled: list[tuple[str, str]],
        job_id: str,
        options: Options,
        wait_s: float | None,
    ) -> QueryResult:
        assert scope.lineage is not None, "only lineage is settled"
        settle = settle_statements(self._jobs.client.project, settled, scope.lineage)
        script = "\n".join(
            [DECLARED, "BEGIN TRANSACTION;", f"{statement.sql.rstrip().rstrip(';')}\n;", *settle, "COMMIT TRANSACTION;"]
        )
        config = self._statements.config(scope, {**parameters, **lineage_parameters(scope.lineage)}, **options.config)
        ended = await self._run(job_id, script, config, statement, options, wait_s)
        children = await changes_of(self._jobs, ended.job)
        affected = sum(inserted + updated + deleted for inserted, updated, deleted in children[: -len(settled)])
        return QueryResult(rows_affected=affected, tables=statement.touched.names)

    async def _settle_after(self, statement: Statement, scope: Scope, job_id: str, options: Options) -> None:
        """Settle the rows that a CREATE TABLE AS made: DDL cannot be in their transaction, so they are there first."""
        settled = await self._settled(statement, scope)
        if not settled or scope.lineage is None:
            return
        lines = settle_statements(self._jobs.client.project, settled, scope.lineage)
        script = "\n".join([DECLARED, "BEGIN TRANSACTION;", *lines, "COMMIT TRANSACTION;"])
        config = self._statements.config(scope, lineage_parameters(scope.lineage), **options.config)
        await self._run(f"{job_id}-lineage", script, config, statement, options, None)

    async def _settled(self, statement: Statement, scope: Scope) -> list[tuple[str, str]]:
        if scope.lineage is None or not statement.touched.writes:
            return []
        return await with_lineage(self._tables, statement.touched.writes)

    async def _run(
        self,
        job_id: str,
        sql: str,
        config: bigquery.QueryJobConfig,
        statement: Statement,
        options: Options,
        wait_s: float | None,
    ) -> Ended:
        try:
            return await self._jobs.query(
                job_id, sql, config, what="the statement", project=options.project, wait_s=wait_s
            )
        except StepFailed as error:
            raise await self._statements.explained(error, statement.touched) from error

    async def _answer(self, job: AnyJob, statement: Statement, rows_max: int) -> QueryResult:
        size = job.total_bytes_processed
        if statement.touched.writes:
            affected = int(job.num_dml_affected_rows or 0)
            return QueryResult(rows_affected=affected, bytes_processed=size, tables=statement.touched.names)
        fields, rows = await self._jobs.rows(job, rows_max)
        return QueryResult(
            columns=tuple(field.name for field in fields),
            rows=port_rows(fields, rows),
            bytes_processed=size,
            tables=statement.touched.names,
        )


async def changes_of(jobs: Jobs, job: AnyJob) -> list[tuple[int, int, int]]:
    """Return (inserted, updated, deleted) rows of each statement of a script that changed rows, in their order."""
    return [
        (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count)
        for child in await children_of(jobs, job)
        if (stats := child.dml_stats) is not None
    ]


async def children_of(jobs: Jobs, job: AnyJob) -> list[AnyJob]:
    """Return the jobs of a script's statements, oldest first."""

    def listed(client: bigquery.Client) -> list[AnyJob]:
        return list(client.list_jobs(project=job.project, parent_job=job.job_id, **HTTP))

    found = await jobs.client.call(listed, doing=f"listing the statements of {job.job_id}")
    return found[::-1]
