"""Reading SQL without a database: the parser and the checks of the embedded warehouse."""

from __future__ import annotations

from collections.abc import Sequence

from convergence.adapters.local.warehouse.routines import Routines
from convergence.errors import ConfigError
from convergence.ports.warehouse import Routine


class DuckDbReader:
    """What of a statement or a procedure cannot run whatever the tables are. `project` stands for `{project_id}`."""

    def __init__(self, project: str) -> None:
        self._routines = Routines(project)

    def read_statement(self, sql: str) -> None:
        """See the port."""
        from convergence.adapters.local.duckdb_sql.check import check_statement

        check_statement(sql)

    def read_procedure(self, routine: Routine) -> Sequence[ConfigError]:
        """See the port."""
        return self._routines.problems(routine)
