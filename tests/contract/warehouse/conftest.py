"""Every warehouse joins the contract's tests with one line here; `--run-integration` adds the real BigQuery."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.gcp.warehouse.stage import BigQueryStage
from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.table import load_table_schema
from convergence.ports.warehouse import FileFormat, RowFile, TableSchema, Warehouse
from tests.contract.warehouse.files_of_rows import BILLS
from tests.contract.warehouse.world import FIELDS, Body, StoppedClock
from tests.emulators.bigquery import running


@pytest.fixture(scope="session")
def bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of BigQuery's stand-in, one for all tests of a process."""
    with running(tmp_path_factory.mktemp("bigquery")) as address:
        yield address


@pytest.fixture
def own_bigquery(tmp_path: Path) -> Iterator[str]:
    """A stand-in for one test, which leaves work behind: local-bigquery goes on with what was cancelled."""
    with running(tmp_path) as address:
        yield address


@asynccontextmanager
async def duckdb(folder: Path, _: pytest.FixtureRequest) -> AsyncIterator[Warehouse]:
    warehouse = DuckDbWarehouse(folder / "warehouse.duckdb", clock=StoppedClock(), project="demo")
    try:
        yield warehouse
    finally:
        warehouse.close()


@asynccontextmanager
async def emulated(_: Path, request: pytest.FixtureRequest) -> AsyncIterator[Warehouse]:
    """A project of its own for each test."""
    ids = RandomIds()
    project = ids.new("demo").replace("_", "-")
    address = request.getfixturevalue(_server(request))
    warehouse = BigQueryWarehouse(project=project, location="US", clock=StoppedClock(), ids=ids, endpoint=address)
    try:
        yield warehouse
    finally:
        warehouse.close()


@asynccontextmanager
async def without_parameters(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Warehouse]:
    """The same where all rows come by a staging table, as many rows do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BigQueryStage, "as_parameter", lambda _, __: None)
        async with emulated(folder, request) as warehouse:
            yield warehouse


def _server(request: pytest.FixtureRequest) -> str:
    return "bigquery" if request.node.get_closest_marker("endless") is None else "own_bigquery"


@asynccontextmanager
async def real(_: Path, __: pytest.FixtureRequest) -> AsyncIterator[Warehouse]:
    """A project for tests only: it must hold no dataset, and holds none afterwards."""
    from google.cloud.bigquery import Client

    project = os.environ["CONVERGENCE_GCP_PROJECT"]
    client = Client(project=project)
    strangers = [dataset.dataset_id for dataset in client.list_datasets()]
    if strangers:
        pytest.fail(f"{project} has datasets of its own ({', '.join(strangers)}): name a project for tests only")
    warehouse = BigQueryWarehouse(project=project, location="US", clock=SystemClock(), ids=RandomIds())
    try:
        yield warehouse
    finally:
        warehouse.close()
        for dataset in client.list_datasets():
            client.delete_dataset(dataset.reference, delete_contents=True, not_found_ok=True)
        client.close()


WAREHOUSES: Final = [
    pytest.param(duckdb, id="duckdb"),
    pytest.param(emulated, id="bigquery", marks=pytest.mark.emulator),
    pytest.param(real, id="bigquery-real", marks=pytest.mark.integration),
]
LOADERS: Final = [*WAREHOUSES, pytest.param(without_parameters, id="bigquery-tables", marks=pytest.mark.emulator)]


@pytest.fixture(params=WAREHOUSES)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Run a test's body against a fresh warehouse."""
    return on_fresh(request, tmp_path)


def on_fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Return what runs a body against a fresh warehouse, which `request.param` makes."""
    make = request.param
    if make in {emulated, without_parameters}:
        request.getfixturevalue(_server(request))  # before any loop runs

    async def main(body: Body) -> None:
        async with make(tmp_path, request) as warehouse:
            await body(warehouse)

    return lambda body: asyncio.run(main(body))


@pytest.fixture
def usage(tmp_path: Path) -> TableSchema:
    path = tmp_path / "usage.json"
    path.write_text(FIELDS)
    return load_table_schema(path)


@pytest.fixture
def bills(tmp_path: Path) -> TableSchema:
    path = tmp_path / "bills.json"
    path.write_text(BILLS)
    return load_table_schema(path)


@pytest.fixture
def a_file(tmp_path: Path) -> Callable[..., RowFile]:
    def make(text: str, **options: Any) -> RowFile:
        path = tmp_path / "spooled"
        path.write_text(text, encoding="utf-8", newline="")
        given = {"optional": frozenset({"day", "at", "cost", "note"}), "rest": "others", **options}
        return RowFile(path=path, format=given.pop("format", FileFormat.CSV), name="bill.csv", **given)

    return make
