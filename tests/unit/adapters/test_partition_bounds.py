"""What loads and lineage send to BigQuery is bounded by the partition's date."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.domain.sql_names import bigquery_name
from convergence.ports.warehouse import (
    LINEAGE_COLUMNS,
    PARTITION_BY,
    Column,
    Lineage,
    Load,
    Scope,
    Statement,
    TableSchema,
    WriteMode,
)
from tests.repo.dml_bounds import changes_of, is_bounded
from tests.unit.adapters.bigquery_recorder import NOW, Recorder, with_warehouse

LINEAGE = Lineage(org_slug="acme", pipeline_id="p", credential_id="c", run_id="r1", ingested_at=NOW)
KINDS = {name: "DATE" if name.endswith("_date") else "STRING" for name in LINEAGE_COLUMNS} | {
    "x_ingested_at": "TIMESTAMP"
}
USAGE = TableSchema("usage", (Column("id", "INT64"), *(Column(name, kind) for name, kind in KINDS.items())))
LOAD = Load(job_id="j1", dataset="acme_prod", table=USAGE, lineage=LINEAGE, dates=(date(2026, 1, 1),))


def sent(recorder: Recorder, job_id: str) -> str:
    """Return the text of a job."""
    text: str = recorder.jobs[job_id]["configuration"]["query"]["query"]
    return text


def load(address: str, changes: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    async def body(warehouse: BigQueryWarehouse) -> None:
        stage = warehouse.stage("acme_prod", USAGE, "s")
        await stage.write(0, rows)
        await warehouse.load(replace(LOAD, **changes), stage)

    with_warehouse(address, body)


@pytest.mark.parametrize("rows", [[], [{"id": 1}]], ids=["empty", "rows"])
@pytest.mark.parametrize("mode", [WriteMode.OVERWRITE, WriteMode.MERGE])
def test_a_load_that_replaces_rows_is_one_bounded_statement(
    bigquery_server: tuple[Recorder, str], mode: WriteMode, rows: list[dict[str, Any]]
) -> None:
    recorder, address = bigquery_server
    load(address, {"mode": mode, "key_fields": ("id",)}, rows)
    [(table, tree)] = changes_of(sent(recorder, "j1"))  # a script of several statements does not parse as one
    assert table == "usage"
    assert is_bounded(tree, PARTITION_BY)
    assert not any(
        "_convergence_loads" in job["configuration"].get("query", {}).get("query", "") for job in recorder.jobs.values()
    )


def test_rows_that_are_added_are_marked_in_the_same_transaction(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    load(address, {"mode": WriteMode.APPEND}, [{"id": 1}])
    text = sent(recorder, "j1")
    begin, insert, mark, commit = map(
        text.index,
        (
            "BEGIN TRANSACTION",
            f"INSERT INTO {bigquery_name('p', 'acme_prod', 'usage')}",
            "_convergence_loads",
            "COMMIT",
        ),
    )
    assert begin < insert < mark < commit
    assert not any(word in text for word in ("DELETE", "UPDATE", "MERGE"))


def test_lineage_changes_the_partitions_of_the_runs_rows_only(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    scope = Scope(dataset="acme_prod", writable=True, lineage=LINEAGE)

    async def body(warehouse: BigQueryWarehouse) -> None:
        await warehouse.ensure_table("acme_prod", USAGE)
        insert = "INSERT INTO usage (id, x_pipeline_run_date) VALUES (1, DATE '2026-01-01')"
        await warehouse.query(Statement(insert, scope=scope, job_id="j1"))

    recorder.rows["convergence_changed"] = ([("changed", "INTEGER")], [["1"]])
    with_warehouse(address, body)
    [update] = [line for line in sent(recorder, "j1").splitlines() if line.startswith("UPDATE")]
    [(_, tree)] = changes_of(update)
    assert is_bounded(tree, PARTITION_BY)


@pytest.mark.parametrize(("stored", "warns"), [("x_ingestion_date", True), (None, True), (PARTITION_BY, False)])
def test_a_table_with_other_partitions_is_reported(
    bigquery_server: tuple[Recorder, str], caplog: pytest.LogCaptureFixture, stored: str | None, warns: bool
) -> None:
    _, address = bigquery_server

    async def body(warehouse: BigQueryWarehouse) -> None:
        await warehouse.ensure_table("acme_prod", replace(USAGE, partition_by=stored))
        assert not caplog.records
        await warehouse.ensure_table("acme_prod", USAGE)

    with caplog.at_level(logging.WARNING, "convergence"):
        with_warehouse(address, body)
    assert [f"partitioned by {stored or 'nothing'}" in record.getMessage() for record in caplog.records] == [
        True
    ] * warns
