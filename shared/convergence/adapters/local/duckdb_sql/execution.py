"""Statements and expressions of a running script: their variables, their values, what they changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.script_errors import Frame, ScriptError
from convergence.adapters.local.duckdb_sql.undo import Undo
from convergence.adapters.local.duckdb_sql.variables import Variable, Variables, as_value
from convergence.errors import ConvergenceError, StepFailed, Transient

if TYPE_CHECKING:
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.warehouse.job import Job
    from convergence.adapters.local.warehouse.statements import Outcome, Statements

ROWS_MAX: Final = 100_000  # of one FOR … IN or one result


@dataclass(slots=True)
class Scope:
    """One running script or procedure."""

    source: str
    variables: Variables


class Execution:
    """What one call has available and has done so far. `context` holds for every statement.

    `last` is the latest query's answer, `written` the tables that statements wrote; `rows_affected` counts the rows
    inserted and updated. `scopes` are the procedures that run, the innermost last.
    """

    def __init__(
        self,
        job: Job,
        statements: Statements,
        context: StatementContext,
        system: Mapping[str, Any],
        complete: Callable[[], None] | None = None,
    ) -> None:
        self.job, self._statements = job, statements
        self.context = replace(context, in_script=True)
        self.undo = Undo(job, lambda translation, values: statements.execute(job, translation, values), complete)
        self.scopes: list[Scope] = []
        self._frames: list[Frame] = []
        self.system: dict[str, Any] = {f"s_{name.replace('.', '_')}": value for name, value in system.items()}
        self.system |= {"s_row_count": None}
        self.last: Outcome | None = None
        self.rows_affected = 0
        self.written: set[tuple[str, str]] = set()

    @property
    def variables(self) -> Variables:
        """The variables of the procedure or script that runs now."""
        return self.scopes[-1].variables

    @contextmanager
    def at(self, text: Text) -> Iterator[None]:
        """Add the place of this statement to every error inside."""
        self._frames.append(Frame(self.scopes[-1].source, text))
        try:
            yield
        except (ScriptError, Transient):
            raise
        except ConvergenceError as error:
            raise ScriptError(str(error), tuple(reversed(self._frames))) from error
        finally:
            self._frames.pop()

    def statement(
        self, sql: str, context: StatementContext, values: Mapping[str, Any], *, into: bool = False
    ) -> Outcome:
        """Run a statement of the script, which may write; keep what `@@row_count`, undoing and the result need.

        A query whose row goes INTO variables is not a result of the script.
        """
        translation = self._statements.prepare(self.job, sql, context)
        outcome = self._execute_on_duckdb(lambda: self._statements.run(self.job, translation, values, ROWS_MAX))
        if translation.is_query:
            self.last = self.last if into else outcome
            return outcome
        self.written |= translation.touched.writes
        self.undo.wrote(translation, {name: values[name] for name in translation.parameters})
        if not translation.defines:
            self.rows_affected += outcome.rows_affected - outcome.rows_deleted
            self.system["s_row_count"] = outcome.rows_affected
        if translation.temporary:
            self.context = replace(self.context, temporary=self.context.temporary | {translation.temporary})
        return outcome

    def _execute_on_duckdb(self, run: Callable[[], Outcome]) -> Outcome:
        try:
            return run()
        except ConvergenceError:
            self.undo.broken = True
            raise

    def is_true(self, condition: Text) -> bool:
        """Return whether a condition is TRUE; NULL is not."""
        return self.evaluate(condition, SqlType("BOOL")).value is True

    def evaluate(self, text: Text, kind: SqlType | None) -> Variable:
        """Return the value of an expression, in the type `kind` or its own."""
        with self.at(text):
            sql = f"SELECT CAST(({text.sql}\n) AS {kind.declared})" if kind is not None else f"SELECT ({text.sql}\n)"
            outcome = self.select(sql, text)
            [(_, found)], [(value,)] = outcome.columns, outcome.rows
            return Variable(kind or found, value)

    def select(self, sql: str, text: Text) -> Outcome:
        """Return the rows of a query whose text is at `text`."""
        with self.at(text):
            translation = self._statements.prepare(self.job, sql, self.surroundings())
            values = self.values()
            return self._execute_on_duckdb(lambda: self._statements.run(self.job, translation, values, ROWS_MAX))

    def cast(self, variable: Variable, kind: SqlType) -> Any:
        """Return a variable's value in another type."""
        if variable.type == kind or variable.value is None:
            return variable.value
        context = replace(self.context, parameters=(("value", variable.type),))
        translation = self._statements.prepare(self.job, f"SELECT CAST(@value AS {kind.declared})", context)
        outcome = self._execute_on_duckdb(
            lambda: self._statements.run(self.job, translation, {"p_value": as_value(variable)}, 1)
        )
        return outcome.rows[0][0]

    def into(self, targets: Sequence[Variable], outcome: Outcome, names: Sequence[str]) -> None:
        """Put the one row of a query into variables. Raises `StepFailed` for more rows or other columns."""
        if len(outcome.rows) > 1:
            raise StepFailed("The query returned more than one row, but its columns go INTO variables.")
        if len(outcome.columns) != len(targets):
            raise StepFailed(
                f"{len(outcome.columns)} columns cannot go into {len(targets)} variables ({', '.join(names)})."
            )
        row = outcome.rows[0] if outcome.rows else (None,) * len(targets)
        for target, (_, kind), value in zip(targets, outcome.columns, row, strict=True):
            target.value = self.cast(Variable(kind, value), target.type)

    def surroundings(self) -> StatementContext:
        """Return what a statement here may see, variables included."""
        visible = self.variables.visible()
        return replace(self.context, variables=tuple((name, variable.type) for name, variable in visible.items()))

    def values(self) -> dict[str, Any]:
        """Return the values of all placeholders that a statement here may use."""
        return {f"v_{name}": as_value(each) for name, each in self.variables.visible().items()} | self.system
