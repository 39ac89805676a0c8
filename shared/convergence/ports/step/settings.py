"""What the settings of a step may declare: credentials, tables, columns, and the processors that do its work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class UsesCredentials(Protocol):
    """A step's settings that know which credentials it opens."""

    def opens(self) -> Sequence[Sequence[str]]:
        """Return names for `Secrets.open`; of each group the first one that exists is opened."""
        ...


class ChecksBlocks(Protocol):
    """A processor whose blocks have to fit each other."""

    def unfitting(self, blocks: Mapping[str, Any], *, has_file: bool) -> Sequence[str]:
        """Return what is wrong, `blocks` being the settings by block; `has_file`: the table has a schema file."""
        ...


class StoresCredential(Protocol):
    """A step's settings that know whose credential it stores."""

    def stores(self) -> str:
        """Return the provider: later steps find its credential."""
        ...


class UsesTables(Protocol):
    """A step's settings that name tables beside its destination."""

    def uses_tables(self) -> Sequence[str]:
        """Return names of tables that need a schema file."""
        ...


class NamedColumn(NamedTuple):
    """A column that settings name: where below their block, of which table, and its name."""

    path: tuple[str | int, ...]
    table: str
    column: str


class NamesColumns(Protocol):
    """A step's settings that name columns of tables."""

    def names_columns(self) -> Sequence[NamedColumn]:
        """Return them; a table with a schema file has to have the column."""
        ...


class FillsColumns(Protocol):
    """A step's settings that name columns of its destination."""

    def fills_columns(self) -> Sequence[tuple[tuple[str | int, ...], str]]:
        """Return each path below the block and the column; a destination with a schema file has to have it."""
        ...


class Delegates(Protocol):
    """A step's settings whose work other processors do."""

    def delegates(self, configs_dir: Path) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return each `ps_type` and its `config`. Raises `StepFailed` where there is no such processor."""
        ...
