"""Migrations: once, in order, all or nothing each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.local.clock import RandomIds
from convergence.errors import ConfigError, StepFailed
from convergence.ports.warehouse import Warehouse
from tests.contract.warehouse.migrations import FIRST, a_migration, columns
from tests.contract.warehouse.world import Body, StoppedClock

SECOND = a_migration(
    "002_currency",
    "ALTER TABLE prices ADD COLUMN IF NOT EXISTS currency STRING;\n"
    "UPDATE prices SET currency = 'USD' WHERE currency IS NULL;",
)


def test_migrations_run_once_in_the_order_of_their_names(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        assert await warehouse.migrate([SECOND, FIRST], dataset="org_prod") == ["001_prices", "002_currency"]
        assert await columns(warehouse) == ["model", "price", "currency"]
        assert await warehouse.migrate([FIRST, SECOND], dataset="org_prod") == []

    run(body)


def test_a_dry_run_names_what_would_run_and_changes_nothing(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        assert await warehouse.migrate([FIRST, SECOND], dataset="org_prod", dry_run=True) == [
            "001_prices",
            "002_currency",
        ]
        assert await columns(warehouse) == []
        await warehouse.migrate([FIRST], dataset="org_prod")
        wrong = a_migration("003_wrong", "UPDATE prices SET prise = 1 WHERE TRUE;")
        with pytest.raises(StepFailed, match=r"003_wrong\.sql:1:1: .*prise"):
            await warehouse.migrate([FIRST, wrong], dataset="org_prod", dry_run=True)

    run(body)


def test_a_migration_that_ran_must_not_change(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.migrate([FIRST], dataset="org_prod")
        changed = a_migration(FIRST.name, FIRST.definition + "\nSELECT 1;")
        with pytest.raises(ConfigError, match="was changed after it ran in org_prod"):
            await warehouse.migrate([changed], dataset="org_prod")

    run(body)


def test_project_and_dataset_are_filled_in(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        made = a_migration(
            "001_made",
            "CREATE TABLE `{project}.{dataset}.prices` (model STRING);\n"
            "INSERT INTO `{dataset_id}.prices` (model) VALUES ('a');",
        )
        assert await warehouse.migrate([made], dataset="org_prod") == ["001_made"]
        assert await columns(warehouse) == ["model"]

    run(body)


def test_a_required_column_may_become_optional(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        made = a_migration("001_made", "CREATE TABLE prices (model STRING NOT NULL);")
        optional = a_migration(
            "002_optional",
            "ALTER TABLE prices ALTER COLUMN model DROP NOT NULL;\nINSERT INTO prices (model) VALUES (NULL);",
        )
        assert await warehouse.migrate([made, optional], dataset="org_prod") == ["001_made", "002_optional"]

    run(body)


def test_a_placeholder_without_a_value_is_named_with_its_line(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        wrong = a_migration("001_wrong", "SELECT 1;\nALTER TABLE `{project}.{datset}.prices` ADD COLUMN a STRING;")
        with pytest.raises(ConfigError, match=r"001_wrong\.sql:2: \{datset\} has no value when a migration runs"):
            await warehouse.migrate([wrong], dataset="org_prod")

    run(body)


def test_each_dataset_has_a_list_of_its_own(run: Callable[[Body], None]) -> None:
    made = a_migration("001_made", "CREATE TABLE IF NOT EXISTS prices (model STRING);")

    async def body(warehouse: Warehouse) -> None:
        for dataset in ("acme_prod", "beta_prod"):
            assert await warehouse.migrate([made], dataset=dataset, dry_run=True) == ["001_made"]
            assert await warehouse.migrate([made], dataset=dataset) == ["001_made"]
            assert await warehouse.migrate([made], dataset=dataset) == []

    run(body)


@pytest.mark.emulator
def test_bigquery_has_a_table_of_migrations_for_each_dataset(bigquery: str) -> None:
    """One that all orgs shared took 1,500 INSERTs a day at once. What an earlier release wrote into it still counts."""
    ids = RandomIds()
    project = ids.new("demo").replace("_", "-")
    google = Client(
        project=project,
        location="US",
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=f"http://{bigquery}"),
    )

    async def main() -> None:
        warehouse = BigQueryWarehouse(project=project, location="US", clock=StoppedClock(), ids=ids, endpoint=bigquery)
        try:
            assert await warehouse.migrate([FIRST], dataset="org_prod") == ["001_prices"]
            columns_of = "dataset STRING, name STRING, digest STRING, applied_at TIMESTAMP"
            shared = "convergence_ledger._convergence_migrations"
            google.query(f"CREATE TABLE {shared} ({columns_of})").result()
            given = [ScalarQueryParameter("digest", "STRING", SECOND.digest)]
            values = f"('org_prod', '{SECOND.name}', @digest, CURRENT_TIMESTAMP())"
            google.query(f"INSERT INTO {shared} VALUES {values}", QueryJobConfig(query_parameters=given)).result()
            assert await warehouse.migrate([FIRST, SECOND], dataset="org_prod") == []
            changed = a_migration(SECOND.name, "SELECT 1;")
            with pytest.raises(ConfigError, match="was changed after it ran"):
                await warehouse.migrate([FIRST, changed], dataset="org_prod")
            other = a_migration(SECOND.name, "SELECT 1;")
            assert await warehouse.migrate([other], dataset="beta_prod", dry_run=True) == [SECOND.name]
            names = {each.table_id for each in google.list_tables("convergence_ledger")}
            assert names == {"_convergence_migrations", "_convergence_migrations_org_prod"}
            assert google.get_table(shared).num_rows == 1
        finally:
            warehouse.close()
            google.close()

    asyncio.run(main())
