"""BigQuery as a server that records what it is sent, and gives answers that its stand-in never gives."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
from convergence.adapters.local.clock import RandomIds
from convergence.ports.warehouse import QueryResult, Scope, Statement

READ: Final = Scope(dataset="acme_prod")
NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
Answer = tuple[int, dict[str, Any]]  # status and body


class QuickClock:
    """Time passes when a caller sleeps."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Recorder:
    """What the server knows: jobs by id, and other resources by path.

    `state` is DONE or RUNNING, `errors` the errorResult of jobs that failed, `rows` the answers of queries whose text
    contains a key, as (columns, rows) of strings; of others it is one row, a = 1.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.was_cancelled = threading.Event()  # any job
        self.jobs: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, dict[str, str]] = {}
        self.rows: dict[str, tuple[list[tuple[str, str]], list[list[str | None]]]] = {}
        self.resources: dict[str, dict[str, Any]] = {}
        self.stored: list[tuple[str, str, dict[str, Any]]] = []  # method, path and body, of all but jobs
        self.streamed: list[dict[str, Any]] = []  # rows of tabledata.insertAll
        self.state = "DONE"
        self.asked: list[str] = []  # each request for a job: insert, hold, get
        self.held: list[dict[str, str]] = []  # the parameters of each request that waits for a query
        self.ends_held = 0  # at which of them all jobs are done; 0: none changes `state`
        self.location = ""  # of all jobs; when set, a job is only found by it
        self.unknown = 0  # how many look-ups of jobs find none yet
        self.refuse: list[tuple[int, str]] = []  # status and reason of the next answers

    def insert(self, body: dict[str, Any]) -> Answer:
        if self.refuse:
            return refused(*self.refuse.pop(0))
        self.asked.append("insert")
        self.sent.append(body["configuration"])
        name = body["jobReference"]["jobId"]
        if name in self.jobs:
            return refused(409, "duplicate", f"Already Exists: Job p:{self.location}.{name}")
        self.jobs[name] = body
        return 200, self.job(name)

    def job(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = {"state": self.state}
        if name in self.errors:
            status["errorResult"] = self.errors[name]
        there = {"location": self.location} if self.location else {}
        return {
            **self.jobs[name],
            "jobReference": {**self.jobs[name]["jobReference"], **there},
            "status": status,
            "statistics": {"query": {"totalBytesProcessed": "7"}},
        }

    def finds(self, name: str, path: str) -> bool:
        """Whether a request for a job, `path` with its query, finds it."""
        self.unknown -= 1
        return (
            self.unknown < 0
            and name in self.jobs
            and self.location in (*parse_qs(path.partition("?")[2]).get("location", []), "")
        )

    def hold(self, name: str, asked: dict[str, str]) -> Answer:
        """Answer a request that waits for a query; of one that failed it is the query's error."""
        self.asked.append("hold")
        self.held.append(asked)
        if len(self.held) == self.ends_held:
            self.state = "DONE"
        if self.state != "DONE":
            return 200, {"jobComplete": False, "jobReference": {"projectId": "p", "jobId": name}}
        if name in self.errors:
            return refused(400, self.errors[name]["reason"])
        return 200, self.result(name)

    def result(self, name: str) -> dict[str, Any]:
        sql = self.jobs[name]["configuration"]["query"]["query"]
        default = ([("a", "INTEGER")], [["1"]])
        columns, rows = next((answer for text, answer in self.rows.items() if text in sql), default)
        return {
            "jobComplete": True,
            "schema": {"fields": [{"name": column, "type": kind} for column, kind in columns]},
            "rows": [{"f": [{"v": value} for value in row]} for row in rows],
            "totalRows": str(len(rows)),
            "jobReference": {"projectId": "p", "jobId": name},
        }

    def store(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Create (POST to the collection) or replace (PUT) a dataset, a table or a routine."""
        self.stored.append((method, path, body))
        references = ("routineReference", "tableReference", "datasetReference")
        reference: dict[str, str] = next(body[each] for each in references if each in body)
        if method == "POST":
            path = f"{path}/{list(reference.values())[-1]}"
            if path in self.resources:
                return refused(409, "duplicate")
        self.resources[path] = body
        return 200, body


def refused(status: int, reason: str, message: str = "") -> Answer:
    return status, {"error": {"code": status, "message": message or reason, "errors": [{"reason": reason}]}}


class Handler(BaseHTTPRequestHandler):
    recorder: Recorder

    def do_POST(self) -> None:
        path, body = self.path_of(), self.body()
        if path.endswith("/cancel"):
            name = path.split("/")[-2]
            if not self.recorder.finds(name, self.path):
                self.answer(*refused(404, "notFound"))
                return
            self.recorder.cancelled.append(name)
            self.recorder.was_cancelled.set()
            self.answer(200, {"job": self.recorder.job(name)})
        elif path.endswith("/insertAll"):
            self.recorder.streamed += [each["json"] for each in body["rows"]]
            self.answer(200, {})
        elif path.endswith("/jobs"):
            self.answer(*self.recorder.insert(body))
        else:
            self.answer(*self.recorder.store("POST", path, body))

    def do_PUT(self) -> None:
        self.answer(*self.recorder.store("PUT", self.path_of(), self.body()))

    def do_PATCH(self) -> None:
        path, body = self.path_of(), self.body()
        self.recorder.stored.append(("PATCH", path, body))
        self.recorder.resources[path] |= body
        self.answer(200, self.recorder.resources[path])

    def do_DELETE(self) -> None:
        self.recorder.stored.append(("DELETE", self.path_of(), {}))
        self.recorder.resources.pop(self.path_of(), None)
        self.answer(204, {})

    def do_GET(self) -> None:
        path = self.path_of()
        name = path.split("/")[-1]
        asked = {key: value for key, (value, *_) in parse_qs(self.path.partition("?")[2]).items()}
        if "/queries/" in path and "timeoutMs" in asked:
            self.answer(*self.recorder.hold(name, asked))
        elif "/queries/" in path:
            self.answer(200, self.recorder.result(name))
        elif name in self.recorder.jobs and self.recorder.finds(name, self.path):
            self.recorder.asked.append("get")
            self.answer(200, self.recorder.job(name))
        elif path in self.recorder.resources:
            self.answer(200, self.recorder.resources[path])
        elif path.endswith("/routines"):
            found = [body for each, body in self.recorder.resources.items() if each.startswith(path)]
            self.answer(200, {"routines": found})
        else:
            self.answer(*refused(404, "notFound"))

    def path_of(self) -> str:
        return self.path.partition("?")[0]

    def body(self) -> dict[str, Any]:
        """Return the JSON that was sent; of an upload the part before the data."""
        data = self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}"
        kind, _, boundary = self.headers.get("content-type", "").partition("boundary=")
        if kind.startswith("multipart/"):
            data = data.split(b"--" + boundary.strip('"').encode())[1].partition(b"\r\n\r\n")[2]
        sent: dict[str, Any] = json.loads(data)
        return sent

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        return


@contextmanager
def recording() -> Iterator[tuple[Recorder, str]]:
    """Yield a server and its address."""
    recorder = Recorder()
    handler = type("Recording", (Handler,), {"recorder": recorder})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield recorder, f"127.0.0.1:{http.server_port}"
    finally:
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
