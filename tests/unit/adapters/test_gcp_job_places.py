"""Jobs of customers run where their data is: outside of the multi-regions a job is only found by its location."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from google.cloud.bigquery import QueryJobConfig

from convergence.adapters.gcp.warehouse.client import Client
from convergence.adapters.gcp.warehouse.jobs import Jobs
from convergence.errors import Transient
from tests.simulation.faults import SeededIds
from tests.unit.adapters.bigquery_recorder import QuickClock, Recorder


def with_jobs(address: str, body: Callable[[Jobs], Awaitable[Any]]) -> Any:
    """Run `body` with jobs of a client that knows no location, as that of a customer's key."""

    async def main() -> Any:
        client = Client(
            project="p", location=None, credentials=None, endpoint=address, clock=QuickClock(), ids=SeededIds(Random(1))
        )
        try:
            return await body(Jobs(client))
        finally:
            client.close()

    return asyncio.run(main())


def query(jobs: Jobs, **options: Any) -> Awaitable[Any]:
    return jobs.query("read_1", "SELECT 1 AS a", QueryJobConfig(), what="the query", **options)


def test_a_cancelled_caller_cancels_its_job_where_it_runs(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.state, recorder.location = "RUNNING", "europe-west3"

    async def body(jobs: Jobs) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(query(jobs), 0.5)

    with_jobs(address, body)
    assert recorder.cancelled == ["read_1"]


def test_a_job_that_is_cancelled_on_its_way_is_cancelled_once_it_is_there(
    bigquery_server: tuple[Recorder, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, address = bigquery_server
    recorder.state, recorder.location = "RUNNING", "europe-west3"
    arrive = recorder.insert

    def late(body: dict[str, Any]) -> Any:
        answer = arrive(body)
        asyncio.run(asyncio.sleep(0.4))  # the answer is slow
        return answer

    monkeypatch.setattr(recorder, "insert", late)

    async def body(jobs: Jobs) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(query(jobs), 0.2)

    with_jobs(address, body)
    assert recorder.cancelled == ["read_1"]


def test_a_duplicate_is_found_where_it_runs(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.location = "europe-west3"

    async def body(jobs: Jobs) -> None:
        first, again = await query(jobs), await query(jobs)
        assert (first.repeated, again.repeated, again.job.location) == (False, True, "europe-west3")

    with_jobs(address, body)


def test_a_job_that_bigquery_does_not_find_yet_is_waited_for(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server

    async def body(jobs: Jobs) -> None:
        await query(jobs)
        recorder.unknown = 3
        assert (await query(jobs)).repeated
        recorder.unknown = 1_000_000
        with pytest.raises(Transient, match="waiting for BigQuery to find job read_1"):
            await query(jobs)

    with_jobs(address, body)
