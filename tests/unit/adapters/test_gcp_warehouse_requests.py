"""What BigQueryWarehouse sends, and what it makes of answers that BigQuery's stand-in never gives."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from operator import methodcaller

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.gcp.warehouse.errors import job_error
from convergence.adapters.gcp.warehouse.labels import label
from convergence.errors import (
    Denied,
    InvalidInput,
    PermissionMissing,
    SchemaMismatch,
    StepFailed,
    StillRunning,
    Transient,
)
from convergence.ports.warehouse import (
    Column,
    JobSettings,
    Lineage,
    Parameter,
    ProcedureCall,
    Routine,
    Scope,
    Statement,
    TableSchema,
)
from tests.unit.adapters.bigquery_recorder import NOW, READ, Recorder, ask, with_warehouse

LINEAGE = Lineage(org_slug="acme", pipeline_id="Acme/Cost", credential_id="", run_id="r1", ingested_at=NOW)


def test_a_limit_of_bytes_labels_and_the_default_dataset_go_with_the_job(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    scope = Scope(dataset="acme_prod", lineage=LINEAGE)
    with_warehouse(
        address,
        lambda warehouse: warehouse.query(Statement("SELECT 1 AS a", scope=scope, bytes_max=10_000_000)),
        labels={"app": "convergence"},
    )
    [sent] = recorder.sent
    assert sent["query"]["maximumBytesBilled"] == "10000000"
    assert sent["query"]["defaultDataset"] == {"projectId": "p", "datasetId": "acme_prod"}
    assert sent["labels"] == {"app": "convergence", "org": "acme", "pipeline": "acme-cost", "run": "r1"}


def test_the_plan_of_an_org_says_where_its_jobs_run_and_how(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    reservation = "projects/admin/locations/EU/reservations/big"

    async def settings(org: str) -> JobSettings:
        return JobSettings("billed", reservation, "BATCH") if org == "acme" else JobSettings()

    for lineage in (LINEAGE, replace(LINEAGE, org_slug="other"), None):
        scope = Scope(dataset="acme_prod", lineage=lineage)
        statement = Statement("SELECT 1 AS a", scope=scope)
        with_warehouse(address, methodcaller("query", statement), settings=settings)
    mine, others, without_run = recorder.sent
    assert (mine["reservation"], mine["query"]["priority"]) == (reservation, "BATCH")
    assert mine["query"]["connectionProperties"] == [{"key": "dataset_project_id", "value": "p"}]
    assert mine["query"]["defaultDataset"]["projectId"] == "p"
    assert not {"reservation", "priority", "connectionProperties"} & {*others, *others["query"], *without_run["query"]}
    assert [job["jobReference"]["projectId"] for job in recorder.jobs.values()] == ["billed", "p", "p"]


def test_no_job_of_an_org_is_billed_for_more_or_takes_longer_than_its_plan_says(
    bigquery_server: tuple[Recorder, str],
) -> None:
    recorder, address = bigquery_server

    async def settings(_: str) -> JobSettings:
        return JobSettings(bytes_billed_max=50_000_000, minutes_max=30)

    scope = Scope(dataset="acme_prod", lineage=LINEAGE)
    call = ProcedureCall("sp_one", {}, scope=scope, job_id="c1")
    for ask_for in (
        lambda warehouse: warehouse.query(Statement("SELECT 1 AS a", scope=scope)),
        lambda warehouse: warehouse.query(Statement("SELECT 1 AS a", scope=scope, bytes_max=20_000_000)),
        lambda warehouse: warehouse.query(Statement("SELECT 1 AS a", scope=scope, bytes_max=90_000_000)),
        lambda warehouse: _called(warehouse, call),
    ):
        with_warehouse(address, ask_for, settings=settings)
    of_runs = [job for job in recorder.sent if "run" in job["labels"]]
    assert [job["query"]["maximumBytesBilled"] for job in of_runs] == ["50000000", "20000000", "50000000", "50000000"]
    assert {job["jobTimeoutMs"] for job in of_runs} == {"1800000"}


async def _called(warehouse: BigQueryWarehouse, call: ProcedureCall) -> None:
    text = "CREATE PROCEDURE `{project_id}.organizations`.sp_one() BEGIN SELECT 1 AS a; END;"
    routine = Routine("sp_one", "d", "sp_one.sql", text)
    await warehouse.sync_routines([routine])
    await warehouse.call(call)


def test_parameters_travel_with_their_types(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    parameters = {"days": Parameter("ARRAY<DATE>", [date(2026, 1, 1)]), "none": Parameter("NUMERIC", None)}
    ask(address, "SELECT @days, @none", parameters=parameters)
    days, none = recorder.sent[0]["query"]["queryParameters"]
    assert days["parameterType"] == {"type": "ARRAY", "arrayType": {"type": "DATE"}}
    assert days["parameterValue"] == {"arrayValues": [{"value": "2026-01-01"}]}
    assert (none["parameterType"], none["parameterValue"]) == ({"type": "NUMERIC"}, {"value": None})


def test_a_job_that_is_there_already_is_the_answer(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    assert ask(address, job_id="once").rows == ask(address, job_id="once").rows == [{"a": 1}]
    assert list(recorder.jobs) == ["once"]


def test_a_job_that_failed_before_is_not_a_success_and_the_next_id_is_tried(
    bigquery_server: tuple[Recorder, str],
) -> None:
    recorder, address = bigquery_server
    recorder.errors = {"once": {"reason": "backendError", "message": "lost a machine"}}
    with pytest.raises(Transient, match="lost a machine"):
        ask(address, job_id="once")
    assert ask(address, job_id="once").rows == [{"a": 1}]
    assert list(recorder.jobs) == ["once", "once-1"]


def test_a_job_that_outlives_the_wait_goes_on_and_is_found_again(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.state = "RUNNING"
    for _ in range(2):
        with pytest.raises(StillRunning, match="job long: ask again"):
            ask(address, job_id="long", wait_s=30)
    recorder.state = "DONE"
    assert ask(address, job_id="long", wait_s=30).rows == [{"a": 1}]
    assert (list(recorder.jobs), recorder.cancelled) == (["long"], [])
    with pytest.raises(InvalidInput, match="wait_s needs a job_id"):
        ask(address, wait_s=30)


def test_a_cancelled_caller_cancels_its_job(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.state = "RUNNING"

    async def body(warehouse: BigQueryWarehouse) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(warehouse.query(Statement("SELECT 1", scope=READ, job_id="long")), 0.5)

    with_warehouse(address, body)
    assert recorder.cancelled == ["long"]


def test_a_403_that_means_too_often_is_tried_again(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.refuse = [(403, "rateLimitExceeded"), (503, "backendError")]
    assert ask(address).rows == [{"a": 1}]
    recorder.refuse = [(403, "accessDenied")]
    with pytest.raises(PermissionMissing):
        ask(address)


def test_what_is_denied_is_never_sent(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    for sql in (
        "SELECT * FROM beta_prod.usage",
        "SELECT * FROM convergence_ledger._convergence_migrations",
        "SELECT * FROM convergence_staging.x",
        "DELETE FROM usage WHERE TRUE",
    ):
        with pytest.raises(Denied):
            ask(address, sql)
    assert recorder.sent == []


def test_a_stage_refuses_before_it_sends(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    table = TableSchema("t", (Column("id", "INT64", "REQUIRED"), Column("cost", "NUMERIC")))

    async def body(warehouse: BigQueryWarehouse) -> None:
        stage = warehouse.stage("acme_prod", table, "s")
        await stage.write(0, [{"id": 1}])
        with pytest.raises(SchemaMismatch, match="row 3: column 'cost' is nan"):
            await stage.write(1, [{"id": 1}, {"id": 2, "cost": float("nan")}])

    with_warehouse(address, body)
    assert recorder.sent == []


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        ("invalidQuery", "Transaction is aborted due to concurrent update against table p:d.t", Transient),
        ("invalidQuery", "Could not serialize access to table p:d.t due to concurrent update", Transient),
        ("rateLimitExceeded", "too many table update operations", Transient),
        ("stopped", "cancelled", Transient),
        ("accessDenied", "Permission bigquery.tables.getData denied", PermissionMissing),
        ("bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: 10.", StepFailed),
        ("invalidQuery", "Division by zero", StepFailed),
    ],
)
def test_the_reason_of_a_failed_job_says_who_must_act(reason: str, message: str, kind: type[Exception]) -> None:
    assert type(job_error({"reason": reason, "message": message}, what="a test")) is kind


def test_labels_hold_what_bigquery_allows() -> None:
    assert label("Acme/Cost ü.daily") == "acme-cost---daily"
    assert len(label("x" * 100)) == 63
