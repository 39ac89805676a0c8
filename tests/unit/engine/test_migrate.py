"""Migrations of all orgs: every deployment asks for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from convergence.domain.quota import Limits
from convergence.engine.migrate import migrate_all
from convergence.tenants.orgs import Org
from tests.unit.engine.conftest import Engine
from tests.unit.processors.step_world import NOW


class Asked:
    """A warehouse that counts for which datasets it is asked."""

    def __init__(self) -> None:
        self.datasets: list[str] = []

    async def migrate(self, scripts: Any, *, dataset: str, dry_run: bool) -> list[str]:
        self.datasets.append(dataset)
        return [] if dry_run else [each.name for each in scripts]


@pytest.mark.parametrize("scripts", [0, 1])
def test_the_warehouse_is_asked_for_each_org_only_where_there_are_scripts(tmp_path: Path, scripts: int) -> None:
    engine, asked = Engine(tmp_path), Asked()
    folder = engine.services.configs_dir / "system" / "migrations"
    if scripts:
        folder.mkdir(parents=True)
        (folder / "001.sql").write_text("CREATE TABLE notes (text STRING);")

    async def scenario() -> None:
        for slug in ("globex", "initech"):
            limits = Limits(daily=1, monthly=1, concurrent=1)
            await engine.services.orgs.create(Org(slug=slug, name=slug, status="ACTIVE", limits=limits, created_at=NOW))
        found = await migrate_all(replace(engine.services, warehouse=cast("Any", asked)))
        assert list(found.values()) == [["001"] * scripts] * len(found)
        assert {"acme", "globex", "initech"} <= {dataset.rpartition("_")[0] for dataset in found}
        assert asked.datasets == (list(found) if scripts else [])

    engine.run_scenario(scenario)
