"""The demo over Google's wire: HTTP to the dispatcher, pushes to five processes, Firestore, BigQuery, KMS.

The measure is the embedded mode: row by row the same tables.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.engine.services import Services
from convergence.ports.warehouse import Scope
from convergence.sandbox import ADMIN_KEY
from tests.e2e.conftest import ROOT, Installation
from tests.emulators.bigquery import required
from tests.emulators.cloud import ORG, Cloud, cloud, demo

PIPELINE = "openai/cost/usage_cost"
FIRST, LAST = "2026-03-07", "2026-03-08"
TABLES = (
    *("openai_usage_daily_raw", "openai_billing_daily_raw", "openai_cost_daily", "openai_cost_daily_reconciled"),
    *("genai_cost_daily_unified", "cost_data_standard_1_3", "openai_model_pricing"),
)
Tables = Mapping[str, list[Mapping[str, Any]]]


async def tables_of(services: Services) -> Tables:
    """All rows, each table in an order of its own. What differs by nature is left out: times of writing, the
    credential's random id, and the setup's run."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for table in TABLES:
        sql = f"SELECT * EXCEPT (x_ingested_at, x_ingestion_date, x_credential_id) FROM {table}"
        if table == "openai_model_pricing":
            sql = sql.replace("x_credential_id", "x_credential_id, x_run_id, x_pipeline_run_date")
        result = await services.warehouse.query(sql, scope=Scope(dataset=f"{ORG}_dev"), rows_max=10_000)
        found[table] = sorted(({name: plain(value) for name, value in row.items()} for row in result.rows), key=str)
    return found


def plain(value: Any) -> Any:
    """Return what means the same in one form: numbers without zeros behind them, keys of JSON in order."""
    if isinstance(value, Decimal):
        return value.normalize()
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(json.loads(value), sort_keys=True)
    return value


class Laptop:
    """The embedded mode, with the same sandbox."""

    def __init__(self, folder: Path, provider: str) -> None:
        self._installation = Installation(folder / "embedded")
        self._where = ("-p", f"api_base_url={provider}")
        self._installation.call("org", "create", ORG)
        self._installation.call(
            "run", ORG, "openai/auth/setup", "--secret-from-env", "api_key=KEY", *self._where, KEY=ADMIN_KEY
        )

    def run(self, name: str, first: str, last: str) -> Tables:
        """Run the pipeline once; return all rows."""
        days = ("-p", f"start_date={first}", "-p", f"end_date={last}")
        self._installation.call("run", ORG, PIPELINE, *days, *self._where, "--idempotency-key", name)

        async def read() -> Tables:
            options = EmbeddedOptions(data_dir=self._installation.data_dir, configs_dir=ROOT / "configs")
            async with embedded(options, "compare") as opened:
                return await tables_of(opened.services)

        return asyncio.run(read())


class World:
    """Both modes, after the demo on Google Cloud."""

    def __init__(self, folder: Path, running: Cloud) -> None:
        self.cloud = running
        self.key, self.run = demo(running, FIRST, LAST, name="the-run")
        self.laptop = Laptop(folder, running.provider)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    required()
    folder = tmp_path_factory.mktemp("gcp")
    with cloud(folder) as running:
        yield World(folder, running)


def differences(here: Tables, there: Tables) -> dict[str, list[Any]]:
    """Return what differs: for each table the counts of rows, or the first cells."""
    found: dict[str, list[Any]] = {}
    for table in TABLES:
        if len(here[table]) != len(there[table]):
            found[table] = [len(here[table]), len(there[table])]
            continue
        rows = zip(here[table], there[table], strict=True)
        cells = [(name, a[name], b.get(name)) for a, b in rows for name in a if a[name] != b.get(name)]
        if cells:
            found[table] = cells[:10]
    return found


def test_the_rows_are_those_of_the_embedded_mode(world: World) -> None:
    here, there = world.laptop.run("the-run", FIRST, LAST), world.cloud.use(tables_of)
    assert differences(here, there) == {}
    assert all(here.values())
