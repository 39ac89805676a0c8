"""Reading SQL without running it: what `validate` asks before any table is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from convergence.errors import ConfigError
from convergence.ports.warehouse import Routine

DATASET: Final = "org_dataset"  # placeholder for the dataset of the org that runs the statement


class BoundColumn(NamedTuple):
    """A column of a result, with its GoogleSQL type; empty where it is NULL in each row. `text`: a quoted literal."""

    name: str
    type: str
    text: str | None = None


class Bound(NamedTuple):
    """The columns of a query's result; None for other statements.

    Also None where the statement names something unknown here: tables without a schema file, datasets that are spelled
    out, another project. Then its columns were not checked.
    """

    columns: tuple[BoundColumn, ...] | None = None
    tables: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


class SqlReader(Protocol):
    """The parser that a run uses, and its binder over the tables that schema files describe, all of them empty."""

    project: str

    def read_statement(self, sql: str) -> None:
        """Read one GoogleSQL statement. Raises `StepFailed` for what cannot run, with line and column."""
        ...

    def bind(self, sql: str, types: Mapping[str, str], *, writes: bool = True) -> Bound:
        """Resolve the names and types of a statement that can be parsed; `types` are those of its parameters.

        Raises:
            StepFailed: a column that its table does not have, types that do not fit, a column that is not grouped.
            Denied: a table that no run may touch, or a change without `writes`.
        """
        ...

    def read_procedure(self, routine: Routine) -> Sequence[ConfigError]:
        """Return what is wrong with the file of a procedure, each with `file:line:column`."""
        ...

    def parameters_of(self, routine: Routine) -> Mapping[str, bool]:
        """Return the parameters of a procedure, each with whether a call has to give it. Raises `ConfigError`."""
        ...

    def bind_call(
        self,
        routine: Routine,
        types: Mapping[str, str],
        values: Mapping[str, str],
        find: Callable[[str], Routine],
    ) -> None:
        """Resolve the names and types of a procedure's statements, as far as they are known before a run.

        `types` are those of the arguments, by name in lower case; `values` the known strings among them; `find` returns
        the procedure that a CALL names. A procedure with a statement that depends on other values, or on tables without
        a schema file, is not checked.

        Raises:
            StepFailed: a statement that cannot run, with its place in the file.
        """
        ...

    def read_migration(self, routine: Routine) -> Sequence[ConfigError]:
        """Return what is wrong with the file of a migration, each with `file:line:column`."""
        ...
