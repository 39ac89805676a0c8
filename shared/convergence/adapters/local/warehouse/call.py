"""One call of a procedure: once for each job id, lineage set before each commit.

It is one transaction, unless the procedure has transactions of its own; as in BigQuery, each COMMIT then counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from convergence.adapters.googlesql.parameters import python_value
from convergence.adapters.googlesql.types import parse_type
from convergence.adapters.local.warehouse import ledger
from convergence.adapters.local.warehouse.commits import Commits
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.routines import Routines
from convergence.adapters.local.warehouse.statements import Outcome, Statements
from convergence.adapters.local.warehouse.values import from_record, to_record
from convergence.errors import Denied, InvalidInput, did_you_mean
from convergence.ports.warehouse import Parameter, ProcedureCall, QueryResult, Scope

if TYPE_CHECKING:
    from convergence.adapters.googlesql.procedures.folded import Folded
    from convergence.adapters.googlesql.procedures.reach import Reach
    from convergence.adapters.googlesql.scripts.nodes import Procedure
    from convergence.adapters.local.duckdb_sql.variables import Variable


def call_procedure(
    job: Job,
    statements: Statements,
    routines: Routines,
    call: ProcedureCall,
    at: datetime,
) -> Outcome:
    """Run a procedure; see the port. `at` is the time of the call."""
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.duckdb_sql.interpreter import Interpreter

    commits = Commits(job, call, at)
    with commits.reported(), job.transaction():
        known = recorded(job, call.job_id, call.fingerprint, repeatable=call.repeatable)
        if known is not None:
            return known
        tree, scope = routines.procedure(job, call.procedure), call.scope
        given = _given(tree, call.arguments)
        _, reach = _folded(job, statements, routines, tree, call)
        context = StatementContext(scope=scope, project=statements.project)
        interpreter = Interpreter(
            job,
            statements,
            context,
            lambda path: routines.procedure(job, path),
            system_variables(statements, scope, call.job_id, at),
            commits.complete if reach.by_itself else None,
        )
        commits.written = interpreter.execution.written
        with _denials():
            variables = interpreter.run_procedure(tree, given)
        commits.complete_end()
        outcome = interpreter.execution.last or Outcome()
        outcome.rows_affected = interpreter.execution.rows_affected if reach.writes_stay else 0
        outcome.tables = tuple(
            sorted(f"{dataset}.{name}" for dataset, name in interpreter.execution.written if dataset)
        )
        out = [argument.name for argument in tree.arguments if argument.mode != "IN"]
        if interpreter.execution.last is None and out:  # no SELECT: the OUT arguments are the result
            outcome.columns = tuple((name, variables.get(name).type) for name in out)
            outcome.rows = [tuple(variables.get(name).value for name in out)]
        record(job, call.job_id, outcome, at, call.fingerprint)
    return outcome


def rehearse_call(
    job: Job,
    statements: Statements,
    routines: Routines,
    call: ProcedureCall,
) -> QueryResult:
    """Resolve all names and types of a procedure without running it; see `duckdb_sql.rehearsal`."""
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.duckdb_sql.rehearsal import Rehearsal

    tree = routines.procedure(job, call.procedure)
    types = {name: each.type for name, each in _given(tree, call.arguments).items()}
    folded, _ = _folded(job, statements, routines, tree, call)
    rehearsal = Rehearsal(job, statements, StatementContext(scope=call.scope, project=statements.project))
    job.execute("BEGIN TRANSACTION")
    try:
        with _denials():
            rehearsal.procedure(folded, types)
    finally:
        job.execute("ROLLBACK")
    return QueryResult(bytes_processed=rehearsal.size, tables=tuple(sorted(rehearsal.tables)))


def _folded(
    job: Job, statements: Statements, routines: Routines, tree: Procedure, call: ProcedureCall
) -> tuple[Folded, Reach]:
    """Determine and check what a call touches before it runs: as on BigQuery, what is not known is refused."""
    from convergence.adapters.googlesql.procedures.fold import fold_procedure, known_arguments
    from convergence.adapters.googlesql.procedures.reach import read_folded

    project = statements.project
    system = {"@@project_id": project, "@@dataset_id": call.scope.dataset, "@@dataset_project_id": project}
    known = known_arguments(tree, {name.lower(): value for name, value in call.arguments.items()})
    folded = fold_procedure(tree, known, lambda path: routines.procedure(job, path), system)
    return folded, read_folded(folded, call.scope, project=project)


@contextmanager
def _denials() -> Iterator[None]:
    """Keep a refusal a refusal: a script wraps every error in its own, with the place."""
    from convergence.adapters.local.duckdb_sql.script_errors import ScriptError

    try:
        yield
    except ScriptError as error:
        if isinstance(error.__cause__, Denied):
            raise Denied(str(error)) from error
        raise


def recorded(job: Job, job_id: str, fingerprint: str, *, repeatable: bool = False) -> Outcome | None:
    """Return what the job answered the first time, None when it has not run; raises as `ledger.find` does."""
    found = ledger.find(job, job_id, fingerprint, repeatable=repeatable)
    if found is None:
        return None
    columns, rows = from_record(found)
    return Outcome(tuple(columns), rows, found["rows_affected"], tables=tuple(found["tables"]))


def record(job: Job, job_id: str, outcome: Outcome, at: datetime, fingerprint: str) -> None:
    """Store what a job answered, in its own transaction."""
    found = to_record(outcome.columns, outcome.rows)
    found |= {"rows_affected": outcome.rows_affected, "tables": outcome.tables}
    ledger.note(job, job_id, found, at, fingerprint)


def _given(tree: Procedure, arguments: Mapping[str, Parameter]) -> dict[str, Variable]:
    """Return the arguments as variables.

    Raises:
        InvalidInput: one is missing, or the procedure has none of that name.
    """
    from convergence.adapters.local.duckdb_sql.variables import Variable

    given: dict[str, Variable] = {}
    for name, parameter in arguments.items():
        kind = parse_type(parameter.type)
        given[name.lower()] = Variable(kind, python_value(name, kind, parameter.value))
    names = {argument.name.lower(): argument for argument in tree.arguments}
    for name in given:
        if name not in names:
            raise InvalidInput(f"{tree.name} has no parameter {name!r}.{did_you_mean(name, names)}")
    for name, argument in names.items():
        if name in given:
            continue
        if argument.mode != "OUT" or argument.type is None:
            raise InvalidInput(f"{tree.name} needs a value for its parameter {argument.name!r}.")
        given[name] = Variable(argument.type)
    return given


def system_variables(statements: Statements, scope: Scope, job_id: str, at: datetime) -> dict[str, Any]:
    """Return the values of `@@…` for a script that begins at `at`."""
    zero = dict.fromkeys(
        ("script.bytes_processed", "script.bytes_billed", "script.slot_ms", "script.num_child_jobs"), 0
    )
    return zero | {
        "error.message": None,
        "error.statement_text": None,
        "error.stack_trace": None,
        "error.formatted_stack_trace": None,
        "script.job_id": job_id,
        "current_job_id": job_id,
        "last_job_id": job_id,
        "script.creation_time": at,
        "project_id": statements.project,
        "dataset_project_id": statements.project,
        "dataset_id": scope.dataset,
        "time_zone": "UTC",
    }
