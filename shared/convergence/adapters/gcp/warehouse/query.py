"""One statement that a user or a processor sends: a read, a write that happens once, or a dry run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from convergence.adapters.gcp.warehouse.client import HTTP
from convergence.adapters.gcp.warehouse.jobs import Ended, JobOptions, Jobs, Options, fingerprint_of
from convergence.adapters.gcp.warehouse.ledger import Ledger, refuse_other
from convergence.adapters.gcp.warehouse.lineage import (
    DECLARED,
    lineage_parameters,
    lineage_statements,
    with_lineage,
)
from convergence.adapters.gcp.warehouse.statements import PreparedStatement, Statements, spelled
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.gcp.warehouse.values import port_rows
from convergence.adapters.gcp.warehouse.waiting import AnyJob
from convergence.domain.sql_names import bigquery_name
from convergence.errors import LeaseLost, StepFailed
from convergence.ports.warehouse import Parameter, QueryResult, Scope, Statement

if TYPE_CHECKING:
    from google.cloud import bigquery


class _Job(NamedTuple):
    """Under which id a statement runs, and how; `marked`: it is in the ledger."""

    job_id: str
    options: Options
    wait_s: float | None
    fingerprint: str
    marked: bool


class Queries:
    """Runs single statements."""

    def __init__(self, jobs: Jobs, tables: Tables, statements: Statements, ledger: Ledger, options: JobOptions) -> None:
        self._jobs, self._tables, self._statements, self._options = jobs, tables, statements, options
        self._ledger = ledger

    async def query(self, asked: Statement) -> QueryResult:
        """Run a statement; see the port."""
        scope = asked.scope
        statement = self._statements.prepare(asked.sql, scope, parameters=asked.parameters)
        parameters = spelled(statement.tree, asked.parameters)
        options = await self._options.of(scope.lineage, fingerprint=asked.fingerprint)
        if asked.bytes_max is not None:
            of_plan = options.config.get("maximum_bytes_billed", asked.bytes_max)
            options.config["maximum_bytes_billed"] = min(asked.bytes_max, of_plan)
        if asked.dry_run:
            config = self._statements.config(scope, parameters, **options.config)
            size = await self._statements.dry_run(statement.sql, config, statement.touched)
            return QueryResult(bytes_processed=size, tables=statement.touched.names)
        marked = asked.job_id is not None and scope.writable
        job_id = asked.job_id or self._jobs.client.ids.new("query")
        lineage_tables = await self._lineage_tables(statement, scope)
        if statement.touched.writes and not statement.defines and (lineage_tables or marked):
            job = _Job(job_id, options, asked.wait_s, asked.fingerprint, marked=marked)
            return await self._in_transaction(statement, parameters, scope, lineage_tables, job)
        config = self._statements.config(scope, parameters, **options.config)
        ended = await self._run(job_id, statement.sql, config, statement, options, asked.wait_s)
        if ended.repeated and scope.writable:
            refuse_other(job_id, fingerprint_of(ended.job), asked.fingerprint)
        if statement.defines:
            await self._set_lineage(statement, scope, job_id, options)
        return await self._answer(ended.job, statement, asked.rows_max)

    async def column_names(self, dataset: str) -> Mapping[str, tuple[str, ...]]:
        """Return the columns of each table and view of a dataset; see the port."""
        if not await self._tables.has_dataset(dataset):
            return {}
        source = bigquery_name(self._jobs.client.project, dataset)
        sql = (
            "SELECT table_name, ARRAY_AGG(column_name ORDER BY ordinal_position) AS names\n"
            f"FROM {source}.INFORMATION_SCHEMA.COLUMNS GROUP BY table_name"
        )
        config = self._statements.config(Scope(dataset=dataset), {}, **self._options.plain())
        what = f"listing the columns of {dataset}"
        ended = await self._jobs.query(self._jobs.client.ids.new("columns"), sql, config, what=what)
        _, rows = await self._jobs.rows(ended.job)
        return {table: tuple(names) for table, names in rows}

    async def _in_transaction(
        self,
        statement: PreparedStatement,
        parameters: Mapping[str, Parameter],
        scope: Scope,
        lineage_tables: list[tuple[str, str]],
        job: _Job,
    ) -> QueryResult:
        """Change rows, set their lineage and mark the job as done, all or nothing."""
        lines = [DECLARED, "DECLARE convergence_changed INT64;", "BEGIN TRANSACTION;"]
        lines += [f"{statement.sql.rstrip().rstrip(';')}\n;", "SET convergence_changed = @@row_count;"]
        own = {**parameters}
        if scope.lineage is not None:
            lines += lineage_statements(self._jobs.client.project, lineage_tables, scope.lineage)
            own |= lineage_parameters(scope.lineage)
        if job.marked:
            await self._ledger.ensure(scope.dataset)
            lines.append(self._ledger.insert(scope.dataset, "0", "convergence_changed"))
            own |= self._ledger.parameters(job.job_id, job.fingerprint)
        script = "\n".join([*lines, "COMMIT TRANSACTION;", "SELECT convergence_changed;"])
        config = self._statements.config(scope, own, **job.options.config)

        async def committed() -> bool:
            return job.marked and await self._ledger.find(scope.dataset, job.job_id) is not None

        try:
            ended = await self._run(job.job_id, script, config, statement, job.options, job.wait_s, committed)
        except LeaseLost:
            known = await self._ledger.taken(scope.dataset, job.job_id, job.fingerprint)
            return QueryResult(rows_affected=known.loaded, tables=statement.touched.names)
        if ended.repeated and job.marked:
            refuse_other(job.job_id, fingerprint_of(ended.job), job.fingerprint)
            found = await self._ledger.find(scope.dataset, job.job_id)
            if found is not None:
                return QueryResult(rows_affected=found.loaded, tables=statement.touched.names)
        _, [(changed,)] = await self._jobs.rows(ended.job)
        size = ended.job.total_bytes_processed
        return QueryResult(rows_affected=int(changed or 0), bytes_processed=size, tables=statement.touched.names)

    async def _set_lineage(self, statement: PreparedStatement, scope: Scope, job_id: str, options: Options) -> None:
        """Set the lineage of rows that a CREATE TABLE AS made: DDL cannot be part of a transaction."""
        lineage_tables = await self._lineage_tables(statement, scope)
        if not lineage_tables or scope.lineage is None:
            return
        lines = lineage_statements(self._jobs.client.project, lineage_tables, scope.lineage)
        script = "\n".join([DECLARED, "BEGIN TRANSACTION;", *lines, "COMMIT TRANSACTION;"])
        config = self._statements.config(scope, lineage_parameters(scope.lineage), **options.config)
        await self._run(f"{job_id}-lineage", script, config, statement, options, None)

    async def _lineage_tables(self, statement: PreparedStatement, scope: Scope) -> list[tuple[str, str]]:
        if scope.lineage is None or not statement.touched.writes:
            return []
        return await with_lineage(self._tables, statement.touched.writes)

    async def _run(
        self,
        job_id: str,
        sql: str,
        config: bigquery.QueryJobConfig,
        statement: PreparedStatement,
        options: Options,
        wait_s: float | None,
        committed: Callable[[], Awaitable[bool]] | None = None,
    ) -> Ended:
        project = options.project
        try:
            return await self._jobs.query(
                job_id, sql, config, what="the statement", project=project, wait_s=wait_s, committed=committed
            )
        except LeaseLost:
            raise
        except StepFailed as error:
            raise await self._statements.explained(error, statement.touched) from error

    async def _answer(self, job: AnyJob, statement: PreparedStatement, rows_max: int) -> QueryResult:
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


async def children_of(jobs: Jobs, job: AnyJob) -> list[AnyJob]:
    """Return the jobs of a script's statements, oldest first."""

    def listed(client: bigquery.Client) -> list[AnyJob]:
        return list(client.list_jobs(project=job.project, parent_job=job.job_id, **HTTP))

    found = await jobs.client.call(listed, doing=f"listing the statements of {job.job_id}")
    return found[::-1]
