"""Waiting for a query is one request that BigQuery holds; what became of the job is read from the job."""

from __future__ import annotations

import asyncio
import io
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import bigquery

from convergence.adapters.gcp.warehouse.jobs import Jobs
from convergence.errors import StepFailed, StillRunning
from tests.unit.adapters.bigquery_jobs import query, with_jobs
from tests.unit.adapters.bigquery_recorder import NOW, Recorder


def test_a_query_costs_three_requests_however_long_it_takes(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.state, recorder.ends_held, recorder.location = "RUNNING", 1, "europe-west3"

    async def body(jobs: Jobs) -> None:
        assert (await query(jobs)).job.state == "DONE"
        assert jobs.client.clock.now() == NOW, "and no pause"

    with_jobs(address, body)
    assert recorder.asked == ["insert", "hold", "get"]
    [held] = recorder.held
    assert (held["maxResults"], held["timeoutMs"], held["location"]) == ("0", "60000", "europe-west3")


def test_a_query_that_outlives_the_request_is_held_again(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.state, recorder.ends_held = "RUNNING", 3

    async def body(jobs: Jobs) -> None:
        await query(jobs)

    with_jobs(address, body)
    assert recorder.asked == ["insert", *["hold", "get"] * 3]


def test_a_query_that_fails_while_it_is_waited_for_has_the_error_of_its_job(
    bigquery_server: tuple[Recorder, str],
) -> None:
    """The held request answers 400 then, or 503: it is not sent again, and does not decide."""
    recorder, address = bigquery_server
    recorder.state, recorder.ends_held = "RUNNING", 1
    recorder.errors["read_1"] = {"reason": "invalidQuery", "message": "Division by zero"}

    async def body(jobs: Jobs) -> None:
        with pytest.raises(StepFailed, match="Division by zero"):
            await query(jobs)

    with_jobs(address, body)
    assert recorder.asked == ["insert", "hold", "get"]


def test_the_time_to_wait_bounds_the_held_request(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.state = "RUNNING"

    async def body(jobs: Jobs) -> None:
        with pytest.raises(StillRunning, match="the query continues as job read_1"):
            await query(jobs, wait_s=2.0)
        assert jobs.client.clock.now() == NOW + timedelta(seconds=2)

    with_jobs(address, body)
    assert recorder.held[0]["timeoutMs"] == "2000"
    assert recorder.cancelled == []


def test_a_load_job_is_looked_at_since_it_has_no_results(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.state = "RUNNING"

    def send(client: bigquery.Client, name: str) -> Any:
        config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", autodetect=True)
        return client.load_table_from_file(
            io.BytesIO(b"{}"), "p.acme_prod.t", size=2, job_id=name, job_config=config, num_retries=0
        )

    async def body(jobs: Jobs) -> None:
        with pytest.raises(StillRunning):
            await jobs.run("load_1", send, what="the load", wait_s=1.0)
        recorder.state = "DONE"
        assert (await jobs.run("load_1", send, what="the load")).repeated

    with_jobs(address, body)
    assert "hold" not in recorder.asked
    assert recorder.asked.count("get") > 1


def test_a_caller_that_is_cancelled_while_a_request_is_held_cancels_the_job(
    bigquery_server: tuple[Recorder, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the request comes back: at once."""
    recorder, address = bigquery_server
    recorder.state = "RUNNING"
    answered: list[str] = []
    hold = recorder.hold

    def until_cancelled(name: str, asked: dict[str, str]) -> Any:
        assert recorder.was_cancelled.wait(30)
        answered.append(name)
        return hold(name, asked)

    monkeypatch.setattr(recorder, "hold", until_cancelled)

    async def body(jobs: Jobs) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(query(jobs), 0.3)
        assert recorder.cancelled == ["read_1"]

    with_jobs(address, body)
    assert answered == ["read_1"]
