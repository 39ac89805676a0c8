"""What a statement's meaning depends on besides its text and the tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from convergence.adapters.googlesql.types import SqlType
from convergence.ports.warehouse import Scope

_ANY_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StatementContext:
    """What a statement's meaning depends on besides its text and the tables. Hashable: part of the cache's key.

    Parameters (`@name`), script variables and `?` come with their types; names in lower case.
    """

    scope: Scope
    project: str
    parameters: tuple[tuple[str, SqlType], ...] = ()
    variables: tuple[tuple[str, SqlType], ...] = ()
    positional: tuple[SqlType, ...] = ()
    temporary: frozenset[str] = frozenset()
    in_script: bool = False

    def of_any_run(self) -> StatementContext:
        """Return the part that is the same for all runs of the org: a statement means the same in each of them."""
        lineage = self.scope.lineage
        if lineage is None:
            return self
        whose = replace(lineage, pipeline_id="", credential_id="", run_id="", ingested_at=_ANY_TIME)
        return replace(self, scope=replace(self.scope, lineage=whose))
