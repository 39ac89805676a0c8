"""Where pipelines and table schemas come from, as the layers above ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from convergence.config.loader import LoadedPipeline
from convergence.ports.warehouse import TableSchema


class PipelineSource(Protocol):
    """Pipelines by path; `Catalog` reads them from a folder."""

    def names(self) -> list[str]:
        """Return the paths of all pipelines, sorted; aliases are not among them."""
        ...

    def get(self, name: str) -> LoadedPipeline:
        """Return a pipeline by path or alias. Raises `NotFound` and `ConfigErrors`."""
        ...


class SchemaSource(Protocol):
    """Table schemas by name; `TableSchemas` reads them from a folder."""

    @property
    def paths(self) -> Mapping[str, Path]:
        """The schema files by the names of their tables."""
        ...

    def get(self, name: str) -> TableSchema:
        """Return the schema of table `name`. Raises `NotFound` and `ConfigError`."""
        ...
