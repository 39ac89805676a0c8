"""What a statement's meaning depends on besides its text and the tables."""

from __future__ import annotations

from dataclasses import dataclass

from convergence.adapters.googlesql.types import SqlType
from convergence.ports.warehouse import Scope


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
