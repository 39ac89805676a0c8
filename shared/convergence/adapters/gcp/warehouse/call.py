"""One call of a procedure: one transaction under one job id, lineage set before the commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from convergence.adapters.gcp.warehouse.jobs import AnyJob, JobOptions, Jobs, fingerprint_of
from convergence.adapters.gcp.warehouse.ledger import UNCOUNTED, Ledger, refuse_other
from convergence.adapters.gcp.warehouse.lineage import (
    DECLARED,
    lineage_parameters,
    lineage_statements,
    with_lineage,
)
from convergence.adapters.gcp.warehouse.query import children_of
from convergence.adapters.gcp.warehouse.routines import Routines
from convergence.adapters.gcp.warehouse.scripts import Reach, Reader, rehearse
from convergence.adapters.gcp.warehouse.statements import Statements
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.gcp.warehouse.values import port_rows
from convergence.domain.sql_names import bigquery_name, checked
from convergence.errors import InvalidInput, LeaseLost, StepFailed, did_you_mean
from convergence.ports.warehouse import SHARED_DATASET, Parameter, ProcedureCall, QueryResult, Scope

if TYPE_CHECKING:
    from convergence.adapters.googlesql.scripts.nodes import Argument, Procedure

ROWS_MAX: Final = 10_000  # of a procedure's last SELECT, as many as `query` returns by default


class Calls:
    """Runs procedures."""

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

    async def call(self, asked: ProcedureCall) -> QueryResult:
        """Run a procedure; see the port."""
        scope, job_id, fingerprint = asked.scope, asked.job_id, asked.fingerprint
        procedure = await self._routines.procedure(asked.procedure)
        given = _given(procedure, asked.arguments)
        reader = Reader(self._statements, scope, self._routines.nested)
        await reader.procedure(procedure)
        reach = reader.reach
        if asked.dry_run:
            size = await rehearse(self._statements, scope, reach)
            return QueryResult(bytes_processed=size, tables=tuple(sorted(reach.tables)))
        lineage_tables = await with_lineage(self._tables, reach.writes) if scope.lineage is not None else []
        out = [each for each in procedure.arguments if each.mode != "IN"]
        reads = not out and not any(dataset for dataset, _ in reach.writes)
        script = self._script(procedure, scope, lineage_tables, out, reads=reads)
        parameters = {f"convergence_arg_{name}": value for name, value in given.items()}
        parameters |= lineage_parameters(scope.lineage) if scope.lineage is not None else {}
        if not reads:
            await self._ledger.ensure(scope.dataset)
            parameters |= self._ledger.parameters(job_id, fingerprint)
        options = await self._options.of(scope.lineage, fingerprint=fingerprint)
        config = self._statements.config(scope, parameters, **options.config)
        what = f"the procedure {procedure.name}"
        try:
            ended = await self._jobs.query(
                job_id, script, config, what=what, project=options.project, wait_s=asked.wait_s
            )
        except LeaseLost:
            known = await self._ledger.taken(scope.dataset, job_id, fingerprint)
            return QueryResult(rows_affected=max(0, known.loaded), tables=_named(reach))
        except StepFailed as error:
            raise await self._explained(error, procedure, reach) from error
        if ended.repeated:
            refuse_other(job_id, fingerprint_of(ended.job), fingerprint)
        if reads:
            return await self._selected(ended.job, QueryResult())
        return await self._answer(ended.job, reach, lineage_tables=len(lineage_tables), out=bool(out))

    def _script(
        self,
        procedure: Procedure,
        scope: Scope,
        lineage_tables: list[tuple[str, str]],
        out: list[Argument],
        *,
        reads: bool,
    ) -> str:
        project = self._jobs.client.project
        lines = [DECLARED]
        for each in out:
            start = f" DEFAULT @convergence_arg_{each.name.lower()}" if each.mode == "INOUT" else ""
            lines.append(f"DECLARE {_variable(each)} {each.type}{start};")
        values = ", ".join(
            _variable(each) if each.mode != "IN" else f"@convergence_arg_{each.name.lower()}"
            for each in procedure.arguments
        )
        call = f"CALL {bigquery_name(project, SHARED_DATASET, procedure.name)}({values});"
        if reads:  # nothing to roll back; the job's own result is then the last SELECT
            return call
        lines += ["BEGIN TRANSACTION;", call]
        if scope.lineage is not None:
            lines += lineage_statements(project, lineage_tables, scope.lineage)
        if out:
            selected = ", ".join(f"{_variable(each)} AS {bigquery_name(each.name)}" for each in out)
            lines.append(f"SELECT {selected};")
        lines.append(self._ledger.insert(scope.dataset, "0", str(UNCOUNTED)))
        return "\n".join([*lines, "COMMIT TRANSACTION;"])

    async def _answer(self, job: AnyJob, reach: Reach, *, lineage_tables: int, out: bool) -> QueryResult:
        """Read what the procedure did from the jobs of its statements; ours are the last ones."""
        children = await children_of(self._jobs, job)
        changes = [child.dml_stats for child in children if child.dml_stats is not None]
        own = changes[: len(changes) - lineage_tables - 1]  # the last one marks the ledger
        affected = sum(each.inserted_row_count + each.updated_row_count for each in own)
        selects = [child for child in children if child.statement_type == "SELECT" and _is_statement(child)]
        if out and len(selects) > 1:
            selects.pop()  # the OUT arguments are the answer only where the procedure selected nothing
        done = QueryResult(rows_affected=affected, tables=_named(reach))
        return await self._selected(selects[-1], done) if selects else done

    async def _selected(self, job: AnyJob, done: QueryResult) -> QueryResult:
        fields, rows = await self._jobs.rows(job, ROWS_MAX)
        names = tuple(field.name for field in fields)
        return replace(done, columns=names, rows=port_rows(fields, rows))

    async def _explained(self, error: StepFailed, procedure: Procedure, reach: Reach) -> StepFailed:
        """Return the error with the nearest names; the procedure's file is named first."""
        from convergence.adapters.googlesql.access import Touched

        touched = Touched(frozenset(), frozenset(), frozenset(reach.existing))
        explained = await self._statements.explained(error, touched)
        return StepFailed(f"{procedure.source}: {explained}")


def _named(reach: Reach) -> tuple[str, ...]:
    return tuple(sorted(f"{dataset}.{name}" for dataset, name in reach.writes if dataset))


def _is_statement(child: AnyJob) -> bool:
    """Return whether a job is a statement, not the condition of an IF or the value of a SET."""
    stats = child.script_statistics
    return stats is None or stats.evaluation_kind != "EXPRESSION"


def _variable(argument: Argument) -> str:
    return f"convergence_out_{checked(argument.name, 'argument')}"


def _given(procedure: Procedure, arguments: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the arguments by lower-case name.

    Raises:
        InvalidInput: one is missing, or the procedure has none of that name.
    """
    given = {name.lower(): parameter for name, parameter in arguments.items()}
    names = {argument.name.lower(): argument for argument in procedure.arguments}
    for name in given:
        if name not in names:
            raise InvalidInput(f"{procedure.name} has no parameter {name!r}.{did_you_mean(name, names)}")
    for name, argument in names.items():
        if name not in given and (argument.mode != "OUT" or argument.type is None):
            raise InvalidInput(f"{procedure.name} needs a value for its parameter {argument.name!r}.")
    return given
