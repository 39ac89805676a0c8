"""What BigQueryWarehouse sends, and what it makes of answers that BigQuery's stand-in never gives."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import methodcaller
from typing import Any

import pytest

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.gcp.warehouse.errors import job_error
from convergence.adapters.gcp.warehouse.labels import label
from convergence.adapters.local.clock import RandomIds
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
    QueryResult,
    Scope,
    Statement,
    TableSchema,
)

READ = Scope(dataset="acme_prod")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LINEAGE = Lineage(org_slug="acme", pipeline_id="Acme/Cost", credential_id="", run_id="r1", ingested_at=NOW)


class QuickClock:
    """Time passes when a caller sleeps."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Recorder:
    """A server that knows jobs by id: `state` is DONE or RUNNING, `errors` the error of a job that failed."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, dict[str, str]] = {}
        self.state = "DONE"
        self.refuse: list[tuple[int, str]] = []  # status and reason of the next answers

    def insert(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refuse:
            status, reason = self.refuse.pop(0)
            return status, {"error": {"code": status, "message": reason, "errors": [{"reason": reason}]}}
        self.sent.append(body["configuration"])
        name = body["jobReference"]["jobId"]
        if name in self.jobs:
            return 409, {"error": {"code": 409, "message": "Already Exists", "errors": [{"reason": "duplicate"}]}}
        self.jobs[name] = body
        return 200, self.job(name)

    def job(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = {"state": self.state}
        if name in self.errors:
            status["errorResult"] = self.errors[name]
        return {**self.jobs[name], "status": status, "statistics": {"query": {"totalBytesProcessed": "7"}}}


class Handler(BaseHTTPRequestHandler):
    recorder: Recorder

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if path.endswith("/cancel"):
            name = path.split("/")[-2]
            self.recorder.cancelled.append(name)
            self.answer(200, {"job": self.recorder.job(name)})
        else:
            self.answer(*self.recorder.insert(json.loads(body)))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.split("/")[-1]
        if "/queries/" in path:
            schema = {"fields": [{"name": "a", "type": "INTEGER"}]}
            rows = [{"f": [{"v": "1"}]}]
            job = {"projectId": "p", "jobId": name}
            self.answer(
                200, {"jobComplete": True, "schema": schema, "rows": rows, "totalRows": "1", "jobReference": job}
            )
        elif name in self.recorder.jobs:
            self.answer(200, self.recorder.job(name))
        else:
            self.answer(404, {"error": {"code": 404, "message": "Not found", "errors": [{"reason": "notFound"}]}})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[tuple[Recorder, str]]:
    recorder = Recorder()
    handler = type("Recording", (Handler,), {"recorder": recorder})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield recorder, f"127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def with_warehouse(address: str, body: Callable[[BigQueryWarehouse], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        warehouse = BigQueryWarehouse(
            project="p", location="EU", clock=QuickClock(), ids=RandomIds(), endpoint=address, **options
        )
        try:
            return await body(warehouse)
        finally:
            warehouse.close()

    return asyncio.run(main())


def ask(address: str, sql: str = "SELECT 1 AS a", **options: Any) -> QueryResult:
    scope = options.pop("scope", READ)
    found: QueryResult = with_warehouse(
        address, lambda warehouse: warehouse.query(Statement(sql, scope=scope, **options))
    )
    return found


def test_a_limit_of_bytes_labels_and_the_default_dataset_go_with_the_job(server: tuple[Recorder, str]) -> None:
    recorder, address = server
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


def test_the_plan_of_an_org_says_where_its_jobs_run_and_how(server: tuple[Recorder, str]) -> None:
    recorder, address = server
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


def test_parameters_travel_with_their_types(server: tuple[Recorder, str]) -> None:
    recorder, address = server
    parameters = {"days": Parameter("ARRAY<DATE>", [date(2026, 1, 1)]), "none": Parameter("NUMERIC", None)}
    ask(address, "SELECT @days, @none", parameters=parameters)
    days, none = recorder.sent[0]["query"]["queryParameters"]
    assert days["parameterType"] == {"type": "ARRAY", "arrayType": {"type": "DATE"}}
    assert days["parameterValue"] == {"arrayValues": [{"value": "2026-01-01"}]}
    assert (none["parameterType"], none["parameterValue"]) == ({"type": "NUMERIC"}, {"value": None})


def test_a_job_that_is_there_already_is_the_answer(server: tuple[Recorder, str]) -> None:
    recorder, address = server
    assert ask(address, job_id="once").rows == ask(address, job_id="once").rows == [{"a": 1}]
    assert list(recorder.jobs) == ["once"]


def test_a_job_that_failed_before_is_not_a_success_and_the_next_id_is_tried(server: tuple[Recorder, str]) -> None:
    recorder, address = server
    recorder.errors = {"once": {"reason": "backendError", "message": "lost a machine"}}
    with pytest.raises(Transient, match="lost a machine"):
        ask(address, job_id="once")
    assert ask(address, job_id="once").rows == [{"a": 1}]
    assert list(recorder.jobs) == ["once", "once-1"]


def test_a_job_that_outlives_the_wait_goes_on_and_is_found_again(server: tuple[Recorder, str]) -> None:
    recorder, address = server
    recorder.state = "RUNNING"
    for _ in range(2):
        with pytest.raises(StillRunning, match="job long: ask again"):
            ask(address, job_id="long", wait_s=30)
    recorder.state = "DONE"
    assert ask(address, job_id="long", wait_s=30).rows == [{"a": 1}]
    assert (list(recorder.jobs), recorder.cancelled) == (["long"], [])
    with pytest.raises(InvalidInput, match="wait_s needs a job_id"):
        ask(address, wait_s=30)


def test_a_cancelled_caller_cancels_its_job(server: tuple[Recorder, str]) -> None:
    recorder, address = server
    recorder.state = "RUNNING"

    async def body(warehouse: BigQueryWarehouse) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(warehouse.query(Statement("SELECT 1", scope=READ, job_id="long")), 0.5)

    with_warehouse(address, body)
    assert recorder.cancelled == ["long"]


def test_a_403_that_means_too_often_is_tried_again(server: tuple[Recorder, str]) -> None:
    recorder, address = server
    recorder.refuse = [(403, "rateLimitExceeded"), (503, "backendError")]
    assert ask(address).rows == [{"a": 1}]
    recorder.refuse = [(403, "accessDenied")]
    with pytest.raises(PermissionMissing):
        ask(address)


def test_what_is_denied_is_never_sent(server: tuple[Recorder, str]) -> None:
    recorder, address = server
    for sql in (
        "SELECT * FROM beta_prod.usage",
        "SELECT * FROM convergence_ledger._convergence_migrations",
        "SELECT * FROM convergence_staging.x",
        "DELETE FROM usage WHERE TRUE",
    ):
        with pytest.raises(Denied):
            ask(address, sql)
    assert recorder.sent == []


def test_a_stage_refuses_before_it_sends(server: tuple[Recorder, str]) -> None:
    recorder, address = server
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
