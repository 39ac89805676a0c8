"""What the warehouse asks of BigQuery's API is in the roles that Terraform gives to functions."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Final

from convergence.adapters.gcp.roles import OWN_ROLES
from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.ports.warehouse import Column, Lineage, Load, Routine, TableSchema
from tests.unit.adapters.bigquery_recorder import NOW, recording, with_warehouse

TABLE: Final = TableSchema("t", (Column("id", "INT64"),), partition_by=None)
WIDER: Final = TableSchema("t", (Column("id", "INT64"), Column("note", "STRING")), partition_by=None)
# Requests that change something, and the permission that "Access control with IAM" (BigQuery) names for the method.
NEEDS: Final = {
    ("POST", r"/datasets"): "bigquery.datasets.create",
    ("POST", r"/datasets/\w+/tables"): "bigquery.tables.create",
    ("PATCH", r"/datasets/\w+/tables/\w+"): "bigquery.tables.update",
    ("DELETE", r"/datasets/\w+/tables/\w+"): "bigquery.tables.delete",
    ("POST", r"/datasets/\w+/routines"): "bigquery.routines.create",
    ("PUT", r"/datasets/\w+/routines/\w+"): "bigquery.routines.update",
}


async def a_step(warehouse: BigQueryWarehouse) -> None:
    """Make a table, add a column, stage and load rows, drop the stage."""
    await warehouse.ensure_table("acme_prod", TABLE)
    await warehouse.ensure_table("acme_prod", WIDER)
    stage = warehouse.stage("acme_prod", TABLE, "s")
    await stage.write(0, [{"id": 1}])
    await stage.flush()
    lineage = Lineage(org_slug="acme", pipeline_id="p", credential_id="c", run_id="r", ingested_at=NOW)
    await warehouse.load(
        Load(dataset="acme_prod", table=TABLE, lineage=lineage, job_id="j", dates=(date(2026, 1, 1),)), stage
    )
    await stage.discard()


async def setup(warehouse: BigQueryWarehouse) -> None:
    """Onboard an org, and synchronise a procedure twice."""
    await warehouse.ensure_dataset("acme_prod")
    for text in ("SELECT 1;", "SELECT 2;"):
        definition = f"CREATE OR REPLACE PROCEDURE `{{project}}.organizations.sp_a`()\nBEGIN\n{text}\nEND"
        await warehouse.sync_routines([Routine("sp_a", text, "procedures/sp_a.sql", definition)])


def needed(body: Callable[[BigQueryWarehouse], Awaitable[None]], *datasets: str) -> set[str]:
    """Return the permissions of the requests that `body` sends, where `datasets` are."""
    with recording() as (recorder, address):
        root = "/bigquery/v2/projects/p"
        for name in datasets:
            reference = {"projectId": "p", "datasetId": name}
            recorder.resources[f"{root}/datasets/{name}"] = {"datasetReference": reference}
        with_warehouse(address, body)
        found = set()
        for method, path, _ in recorder.stored:
            [permission] = [
                permission
                for (verb, pattern), permission in NEEDS.items()
                if verb == method and re.fullmatch(root + pattern, path)
            ]
            found.add(permission)
        return found


def test_a_step_needs_what_its_role_has_and_makes_no_dataset() -> None:
    found = needed(a_step, "acme_prod", "convergence_staging", "convergence_ledger")
    assert {"bigquery.tables.create", "bigquery.tables.update", "bigquery.tables.delete"} <= found
    assert found <= set(OWN_ROLES["convergenceWarehouse"])
    assert "bigquery.datasets.create" not in OWN_ROLES["convergenceWarehouse"]


def test_a_snapshot_that_expires_needs_more_than_one_that_stays() -> None:
    assert {"bigquery.tables.createSnapshot", "bigquery.tables.deleteSnapshot"} <= {*OWN_ROLES["convergenceWarehouse"]}


def test_onboarding_and_procedures_need_the_role_of_the_function_that_does_it() -> None:
    assert needed(setup, "organizations") <= set(OWN_ROLES["convergenceSetup"])
