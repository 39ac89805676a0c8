"""Parameters, script variables and system variables become typed placeholders: values never become text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot import exp

from convergence.adapters.googlesql.types import Catalog, SqlType
from convergence.adapters.local.duckdb_sql.names import Names
from convergence.errors import InvalidInput, StepFailed, did_you_mean

if TYPE_CHECKING:
    from convergence.adapters.local.duckdb_sql.context import StatementContext

_STRING: Final = SqlType("STRING")
SYSTEM: Final = {
    "row_count": SqlType("INT64"),
    "error.message": _STRING,
    "error.statement_text": _STRING,
    "error.formatted_stack_trace": _STRING,
    "error.stack_trace": _STRING,
    "script.job_id": _STRING,
    "script.bytes_processed": SqlType("INT64"),
    "script.bytes_billed": SqlType("INT64"),
    "script.slot_ms": SqlType("INT64"),
    "script.creation_time": SqlType("TIMESTAMP"),
    "script.num_child_jobs": SqlType("INT64"),
    "current_job_id": _STRING,
    "last_job_id": _STRING,
    "project_id": _STRING,
    "dataset_id": _STRING,
    "dataset_project_id": _STRING,
    "time_zone": _STRING,
}


class Placeholders:
    """Replaces names in one tree and collects the placeholders used."""

    def __init__(self, context: StatementContext) -> None:
        self._context = context
        self._parameters, self._variables = dict(context.parameters), dict(context.variables)
        self._used: set[str] = set()

    def replace_in(self, tree: exp.Expr, catalog: Catalog) -> set[str]:
        """Replace all of them; return the placeholders used.

        Raises:
            InvalidInput: a parameter without a value.
            StepFailed: a system variable that does not exist here, or outside of a script.
        """
        for node in list(tree.find_all(exp.Parameter)):
            if isinstance(node.parent, exp.Parameter):
                continue
            if isinstance(node.this, exp.Parameter):
                self._system(node)
            else:
                self._parameter(node)
        self._positional(tree)
        if self._variables:
            columns = {table: tuple(name.lower() for name, _ in found) for table, found in catalog.items()}
            names = Names(tree, columns)
            for column in list(tree.find_all(exp.Column)):
                self._variable(column, names)
        return self._used

    def _parameter(self, node: exp.Parameter) -> None:
        name = node.name.lower()
        if name not in self._parameters:
            raise InvalidInput(f"The statement's parameter @{name} has no value.{did_you_mean(name, self._parameters)}")
        node.replace(self._typed(f"p_{name}", self._parameters[name]))

    def _positional(self, tree: exp.Expr) -> None:
        found = list(tree.find_all(exp.Placeholder, bfs=False))
        nodes = [node for node in found if not node.this and not node.args.get("kind")]
        if len(nodes) != len(self._context.positional) and (nodes or self._context.positional):
            raise InvalidInput(
                f"The statement has {len(nodes)} placeholders and {len(self._context.positional)} values."
            )
        for number, (node, kind) in enumerate(zip(nodes, self._context.positional, strict=True), 1):
            node.replace(self._typed(f"q_{number}", kind))

    def _system(self, node: exp.Parameter) -> None:
        name = node.this.name.lower()
        whole: exp.Expr = node
        if isinstance(node.parent, exp.Dot) and node.parent.this is node:
            name, whole = f"{name}.{node.parent.expression.name.lower()}", node.parent
        if name not in SYSTEM:
            raise StepFailed(f"No system variable is called @@{name}.{did_you_mean(name, SYSTEM)}")
        if not self._context.in_script:
            raise StepFailed(f"@@{name} is available in scripts only.")
        whole.replace(self._typed(f"s_{name.replace('.', '_')}", SYSTEM[name]))

    def _variable(self, column: exp.Column, names: Names) -> None:
        parts = [part for part in column.parts if isinstance(part, exp.Identifier)]
        if len(parts) != len(column.parts):
            return  # a star
        first = parts[0].name.lower()
        if first not in self._variables:
            return
        if names.is_column(first, column) if len(parts) == 1 else names.is_source(first, column):
            return
        value: exp.Expr = self._typed(f"v_{first}", self._variables[first])
        for part in parts[1:]:
            value = exp.Dot(
                this=exp.Paren(this=value) if isinstance(value, exp.Cast) else value, expression=part.copy()
            )
        if isinstance(column.parent, exp.Select) and column.arg_key == "expressions":
            value = exp.alias_(value, parts[-1].name, quoted=True)  # the column keeps its name
        column.replace(value)

    def _typed(self, placeholder: str, kind: SqlType) -> exp.Cast:
        self._used.add(placeholder)
        cast = exp.Cast(this=exp.Parameter(this=exp.Var(this=placeholder)), to=data_type(kind))
        cast.type = cast.to
        return cast


def data_type(kind: SqlType) -> exp.DataType:
    """Return sqlglot's type."""
    return exp.DataType.build(str(kind), dialect="bigquery")
