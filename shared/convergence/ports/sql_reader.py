"""Reading SQL without running it: what `validate` asks before any table is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from convergence.errors import ConfigError
from convergence.ports.warehouse import Routine


class SqlReader(Protocol):
    """The parser that a run uses. Tables and columns are not looked up."""

    def read_statement(self, sql: str) -> None:
        """Read one GoogleSQL statement. Raises `StepFailed` for what cannot run, with line and column."""
        ...

    def read_procedure(self, routine: Routine) -> Sequence[ConfigError]:
        """Return what is wrong with the file of a procedure, each with `file:line:column`."""
        ...
