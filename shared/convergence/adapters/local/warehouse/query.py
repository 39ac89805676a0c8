"""One statement that a user or a processor sends: a read, a write that happens once, or a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence.adapters.googlesql.parameters import python_value
from convergence.adapters.googlesql.types import parse_type
from convergence.adapters.local.warehouse.call import record, recorded
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.lineage import set_lineage
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.adapters.local.warehouse.statements import Statements, check_bytes
from convergence.errors import StepFailed
from convergence.ports.warehouse import QueryResult, Statement

if TYPE_CHECKING:
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.duckdb_sql.translate import Translation


@dataclass(frozen=True, slots=True)
class Query:
    """A statement of the port, as it runs on DuckDB."""

    statement: Statement

    def read(self, job: Job, statements: Statements) -> QueryResult:
        """Run it."""
        with job.transaction(read_only=True):
            translation = self._prepared(job, statements)
            return statements.run(job, translation, self._values(), self.statement.rows_max).as_result()

    def export(self, job: Job, statements: Statements, path: Path) -> int:
        """Write the result of a SELECT without parameters to a Parquet file that DuckDB may write; return its rows."""
        with job.transaction(read_only=True):
            translation = self._prepared(job, statements)
            if not translation.is_query or len(translation.statements) != 1:
                raise StepFailed("Only the result of one SELECT can be written to a file.")
            statements.describe(job, translation, {})  # what the statement may touch is checked there
            words = {"source": translation.sql, "rows": str(self.statement.rows_max), "file": quoted(str(path))}
            (rows,) = job.execute(statement("result_file", **words)).fetchone()
        return int(rows)

    def write(self, job: Job, statements: Statements, at: datetime) -> QueryResult:
        """Run it in a transaction, once for each job id."""
        job_id, fingerprint = self.statement.job_id, self.statement.fingerprint
        with job.transaction():
            known = recorded(job, job_id, fingerprint) if job_id is not None else None
            if known is not None:
                return known.as_result()
            translation = self._prepared(job, statements)
            outcome = statements.run(job, translation, self._values(), self.statement.rows_max)
            if self.statement.scope.lineage is not None:
                set_lineage(job, translation.touched.writes, self.statement.scope.lineage)
            if job_id is not None:
                record(job, job_id, outcome, at, fingerprint)
        return outcome.as_result()

    def dry_run(self, job: Job, statements: Statements) -> QueryResult:
        """Resolve names and types, estimate; run nothing."""
        translation = self._prepared(job, statements)
        statements.explain(job, translation, self._values())
        size = statements.estimate_bytes(job, translation)
        return QueryResult(bytes_processed=size, tables=translation.touched.names)

    def _prepared(self, job: Job, statements: Statements) -> Translation:
        translation = statements.prepare(job, self.statement.sql, self._context(statements))
        if self.statement.bytes_max is not None:
            check_bytes(statements.estimate_bytes(job, translation), self.statement.bytes_max)
        return translation

    def _context(self, statements: Statements) -> StatementContext:
        from convergence.adapters.local.duckdb_sql.context import StatementContext

        types = tuple(sorted((name.lower(), parse_type(each.type)) for name, each in self.statement.parameters.items()))
        return StatementContext(scope=self.statement.scope, project=statements.project, parameters=types)

    def _values(self) -> dict[str, Any]:
        return {
            f"p_{name.lower()}": python_value(name, parse_type(each.type), each.value)
            for name, each in self.statement.parameters.items()
        }
