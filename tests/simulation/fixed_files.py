"""What simulated machines find as files: a pipeline for every shape, a schema for every table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from convergence.config.loader import LoadedPipeline
from convergence.ports.warehouse import TableSchema
from tests.simulation.pipelines import pipeline, shape_of


class FixedCatalog:
    """Pipelines by shape, as `Catalog` gives them."""

    def __init__(self, edition: int) -> None:
        self._edition = edition

    def names(self) -> list[str]:
        return []

    def get(self, name: str) -> LoadedPipeline:
        return pipeline(shape_of(name), self._edition)


class AnyTable:
    """A schema for every table name."""

    @property
    def paths(self) -> Mapping[str, Path]:
        return {}

    def get(self, name: str) -> TableSchema:
        return TableSchema(name, ())
