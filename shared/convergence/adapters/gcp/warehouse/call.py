"""One call of a procedure: its text, folded and checked, as one script under one job id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from convergence.adapters.gcp.warehouse.jobs import Ended, JobOptions, Jobs, fingerprint_of
from convergence.adapters.gcp.warehouse.ledger import Ledger, refuse_other
from convergence.adapters.gcp.warehouse.lineage import lineage_parameters, with_lineage
from convergence.adapters.gcp.warehouse.query import children_of
from convergence.adapters.gcp.warehouse.routines import Routines
from convergence.adapters.gcp.warehouse.scripts import rehearse
from convergence.adapters.gcp.warehouse.statements import Statements
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.gcp.warehouse.values import port_rows
from convergence.adapters.gcp.warehouse.waiting import AnyJob
from convergence.adapters.warehouse_checks import partly_committed
from convergence.errors import InvalidInput, LeaseLost, PartlyCommitted, StepFailed, Transient, did_you_mean
from convergence.ports.warehouse import Parameter, ProcedureCall, QueryResult

if TYPE_CHECKING:
    from convergence.adapters.gcp.warehouse.call_script import CallScript
    from convergence.adapters.googlesql.procedures.reach import Reach
    from convergence.adapters.googlesql.scripts.nodes import Procedure

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
        scope = asked.scope
        procedure = await self._routines.procedure(asked.procedure)
        options = await self._options.of(scope.lineage, fingerprint=asked.fingerprint)
        script = await self._script(procedure, asked, options.project or self._jobs.client.project)
        if asked.dry_run:
            size = await rehearse(self._statements, scope, script.reach)
            return QueryResult(bytes_processed=size, tables=tuple(sorted(script.reach.tables)))
        parameters = {f"convergence_arg_{name}": value for name, value in _lowered(asked.arguments).items()}
        parameters |= lineage_parameters(scope.lineage) if scope.lineage is not None else {}
        if not script.reads:
            await self._ledger.ensure(scope.dataset)
            parameters |= self._ledger.parameters(asked.job_id, asked.fingerprint)
        config = self._statements.config(scope, parameters, **options.config)
        what = f"the procedure {procedure.name}"

        async def committed() -> bool:
            return not script.reads and await self._committed(asked, procedure)

        try:
            ended = await self._jobs.query(
                asked.job_id,
                script.sql,
                config,
                what=what,
                project=options.project,
                wait_s=asked.wait_s,
                committed=committed,
            )
        except LeaseLost:
            known = await self._ledger.taken(scope.dataset, asked.job_id, asked.fingerprint)
            return QueryResult(rows_affected=max(0, known.loaded), tables=_named(script.reach))
        except PartlyCommitted:
            raise
        except (StepFailed, Transient) as error:
            if script.reach.by_itself and not script.reads:
                await self._committed(asked, procedure, cause=error)
            if isinstance(error, StepFailed):
                raise await self._explained(error, procedure, script.reach) from error
            raise
        if ended.repeated:
            refuse_other(asked.job_id, fingerprint_of(ended.job), asked.fingerprint)
        if script.reads:
            return await self._selected(ended.job, QueryResult())
        return await self._answer(asked, ended, script)

    async def _script(self, procedure: Procedure, asked: ProcedureCall, running: str) -> CallScript:
        """Fold, check and compose; `running` is the project in which the job runs."""
        from convergence.adapters.gcp.warehouse.call_script import compose_call
        from convergence.adapters.googlesql.procedures.fold import fold_procedure, known_arguments
        from convergence.adapters.googlesql.procedures.reach import read_folded

        scope, project, given = asked.scope, self._jobs.client.project, _given(procedure, asked.arguments)
        called = await self._routines.called_by(procedure.body, procedure.source)
        system = {"@@project_id": running, "@@dataset_id": scope.dataset, "@@dataset_project_id": project}
        folded = fold_procedure(procedure, known_arguments(procedure, given), called.__getitem__, system)
        reach = read_folded(folded, scope, project=project)
        derived = await with_lineage(self._tables, reach.writes) if scope.lineage is not None else []
        return compose_call(folded, reach, scope, derived, self._ledger, project=project)

    async def _committed(self, asked: ProcedureCall, procedure: Procedure, *, cause: Exception | None = None) -> bool:
        """Return whether a call whose job failed took effect as a whole.

        Raises:
            PartlyCommitted: it failed after a COMMIT of its own, and may not run again.
        """
        marked = await self._ledger.find(asked.scope.dataset, asked.job_id)
        if marked is None or not marked.commits:
            return marked is not None
        if asked.repeatable:
            return False
        raise partly_committed(procedure.name, marked.commits, cause) from cause

    async def _answer(self, asked: ProcedureCall, ended: Ended, script: CallScript) -> QueryResult:
        """Read what the procedure did from the jobs of its statements, leaving out our own statements."""
        children = await children_of(self._jobs, ended.job)
        changes = [child.dml_stats for child in children if child.dml_stats is not None]
        own_rows = 0
        if script.reach.by_itself:
            marked = await self._ledger.find(asked.scope.dataset, asked.job_id)
            own_rows = marked.own_rows + 1 if marked is not None else 0  # and the mark itself
        else:
            changes = changes[: -script.completed - 1]  # ours are the last ones, the ledger's the very last
        affected = sum(each.inserted_row_count + each.updated_row_count for each in changes) - own_rows
        affected = affected if script.reach.writes_stay else 0
        selects = [child for child in children if child.statement_type == "SELECT" and _is_statement(child)]
        if script.out and len(selects) > 1:
            selects.pop()  # the OUT arguments are the answer only where the procedure selected nothing
        done = QueryResult(rows_affected=affected, tables=_named(script.reach))
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


def _lowered(arguments: Mapping[str, Parameter]) -> dict[str, Parameter]:
    return {name.lower(): parameter for name, parameter in arguments.items()}


def _given(procedure: Procedure, arguments: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the arguments by lower-case name.

    Raises:
        InvalidInput: one is missing, or the procedure has none of that name.
    """
    given = _lowered(arguments)
    names = {argument.name.lower(): argument for argument in procedure.arguments}
    for name in given:
        if name not in names:
            raise InvalidInput(f"{procedure.name} has no parameter {name!r}.{did_you_mean(name, names)}")
    for name, argument in names.items():
        if name not in given and (argument.mode != "OUT" or argument.type is None):
            raise InvalidInput(f"{procedure.name} needs a value for its parameter {argument.name!r}.")
    return given
