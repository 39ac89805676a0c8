"""New columns of every org's tables: one query for a dataset, however many tables have a schema file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from convergence.domain.quota import Limits
from convergence.engine.schema_sync import sync_all_schemas
from convergence.ports.warehouse import SHARED_DATASET, Column, TableSchema
from convergence.tenants.orgs import Org
from tests.simulation.partial_warehouse import PartialWarehouse
from tests.unit.engine.conftest import Engine
from tests.unit.processors.step_world import NOW


class Asked(PartialWarehouse):
    """A warehouse with the same tables in the dataset of each org; it notes what it is asked."""

    def __init__(self, tables: dict[str, tuple[str, ...]]) -> None:
        self.looked: list[str] = []
        self.widened: list[str] = []
        self._tables = tables

    async def column_names(self, dataset: str) -> dict[str, tuple[str, ...]]:
        self.looked.append(dataset)
        return {} if dataset == SHARED_DATASET else self._tables

    async def ensure_table(self, dataset: str, schema: Any) -> None:
        self.widened.append(f"{dataset}.{schema.name}")


class Schemas:
    """Schema files of these tables."""

    def __init__(self, tables: dict[str, TableSchema]) -> None:
        self.paths, self.get = tables, tables.__getitem__


@pytest.mark.parametrize("dry_run", [True, False])
def test_each_dataset_is_looked_at_once_and_only_tables_that_lack_columns_are_changed(
    tmp_path: Path, dry_run: bool
) -> None:
    engine = Engine(tmp_path)
    schema = TableSchema("usage", (Column("id", "INT64"), Column("added", "STRING")))
    schemas = Schemas({"usage": schema, "not_made_yet": replace(schema, name="not_made_yet")})
    asked = Asked({"usage": ("id",), "not_from_a_schema_file": ("a",)})
    services = replace(engine.services, warehouse=asked, schemas=cast("Any", schemas))

    async def scenario() -> None:
        for slug in ("globex", "initech"):
            limits = Limits(daily=1, monthly=1, concurrent=1)
            await engine.services.orgs.create(Org(slug=slug, name=slug, status="ACTIVE", limits=limits, created_at=NOW))
        done = await sync_all_schemas(services, dry_run=dry_run)
        orgs = [dataset for dataset in asked.looked if dataset != SHARED_DATASET]
        assert len(asked.looked) == len(set(asked.looked)) == done.orgs + 1
        assert done.added == {f"{dataset}.usage": ["added"] for dataset in orgs}
        assert asked.widened == ([] if dry_run else list(done.added))

    engine.run_scenario(scenario)
