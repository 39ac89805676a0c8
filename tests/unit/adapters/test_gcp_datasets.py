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
