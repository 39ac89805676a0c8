"""Jobs of customers run where their data is: outside of the multi-regions a job is only found by its location."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from convergence.adapters.gcp.warehouse.jobs import Jobs
from convergence.errors import Transient
from tests.unit.adapters.bigquery_jobs import query, with_jobs
from tests.unit.adapters.bigquery_recorder import Recorder


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
