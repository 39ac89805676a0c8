"""Datasets are read before they are created: creations share a quota of five in ten seconds with updates."""

from __future__ import annotations

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from tests.unit.adapters.bigquery_recorder import Recorder, recording, with_warehouse


def posts(recorder: Recorder) -> list[str]:
    return [path for method, path, _ in recorder.stored if method == "POST" and path.endswith("/datasets")]


async def twice(warehouse: BigQueryWarehouse) -> None:
    await warehouse.ensure_dataset("acme_prod")
    await warehouse.ensure_dataset("acme_prod")


def test_one_that_is_missing_is_created_once_and_one_that_is_there_never() -> None:
    with recording() as (recorder, address):
        with_warehouse(address, twice)
        assert len(posts(recorder)) == 1
        with_warehouse(address, twice)  # another instance
        assert len(posts(recorder)) == 1


def test_the_columns_of_a_dataset_are_one_query_however_many_tables_it_has() -> None:
    with recording() as (recorder, address):
        columns = [("table_name", "STRING"), ("names", "STRING")]  # "ab" is read like an array of "a" and "b"
        recorder.rows["INFORMATION_SCHEMA.COLUMNS"] = (columns, [[f"t{number}", "ab"] for number in range(100)])
        recorder.resources["/bigquery/v2/projects/p/datasets/acme_prod"] = {
            "datasetReference": {"projectId": "p", "datasetId": "acme_prod"}
        }
        found = with_warehouse(address, lambda warehouse: warehouse.column_names("acme_prod"))
        assert found == {f"t{number}": ("a", "b") for number in range(100)}
        (job,) = recorder.sent
        assert "FROM `p.acme_prod`.INFORMATION_SCHEMA.COLUMNS" in job["query"]["query"]


def test_a_dataset_that_is_missing_has_no_columns_and_costs_no_query() -> None:
    with recording() as (recorder, address):
        assert with_warehouse(address, lambda warehouse: warehouse.column_names("acme_prod")) == {}
        assert recorder.sent == []
