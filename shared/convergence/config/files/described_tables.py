"""Tables whose columns are known for certain from the files: `validate` may resolve names against them."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from convergence.config.files.procedures import MIGRATIONS
from convergence.config.files.schemas.folder import TableSchemas
from convergence.errors import NotFound
from convergence.ports.warehouse import TableSchema


class DescribedTables:
    """The tables of schema files, without those that a migration names: it may have given them other columns."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._schemas = TableSchemas(root)

    def get(self, name: str) -> TableSchema:
        """Return a table's schema. Raises `NotFound` also where a migration names it, and `ConfigError`."""
        if name in self.migrated:
            raise NotFound(f"a migration names {name}")
        return self._schemas.get(name)

    @cached_property
    def migrated(self) -> frozenset[str]:
        """The words of all migrations, the names of their tables among them."""
        files = sorted((self._root / MIGRATIONS).rglob("*.sql"))
        return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text("utf-8", "replace")))
