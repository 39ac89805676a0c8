"""A dry run of a script: BigQuery resolves the names of its statements, and none runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse.statements import Statements
from convergence.errors import ConvergenceError, StepFailed
from convergence.ports.warehouse import Parameter, Scope

if TYPE_CHECKING:
    from sqlglot import exp

    from convergence.adapters.googlesql.procedures.reach import Part, Reach


async def rehearse(statements: Statements, scope: Scope, reach: Reach) -> int:
    """Let BigQuery resolve each statement that stands alone; return about how many bytes they read together.

    Variables become typed parameters without a value. Left out are statements on tables that the script itself makes,
    and dynamic ones with a value whose type is not known before the call.

    Raises:
        StepFailed: the first statement that cannot run, with `file:line:column`.
    """
    size = 0
    for part in reach.parts:
        if None in part.types.values() or "" in part.types:
            continue
        if any(not dataset for dataset, _ in part.touched.reads | part.touched.writes):
            continue
        sql, parameters = _with_parameters(part)
        try:
            size += await statements.dry_run(sql, statements.config(scope, parameters), part.touched)
        except ConvergenceError as error:
            raise StepFailed(f"{part.where}: {error}") from error
    return size


def _with_parameters(part: Part) -> tuple[str, dict[str, Parameter]]:
    """Return the statement with every bare name of a variable as a parameter, and the parameters."""
    from sqlglot import exp

    copy: exp.Expr = part.tree.copy()
    used = {node.name.lower() for node in copy.find_all(exp.Parameter)}
    for column in list(copy.find_all(exp.Column)):
        name = column.name.lower()
        if not column.table and name in part.types and isinstance(column.this, exp.Identifier):
            used.add(name)
            column.replace(exp.Parameter(this=exp.Var(this=name)))
    parameters = {name: Parameter(str(kind), None) for name, kind in part.types.items() if name in used}
    return copy.sql(dialect="bigquery"), parameters
