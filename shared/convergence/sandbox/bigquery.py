"""BigQuery's REST API v2 over two tables: the billing exports of the sandbox's project.

Methods jobs.query, jobs.insert, jobs.get and jobs.getQueryResults, as plain HTTP and Google's own client call them. The
only statements that are known are those that read the exports; `SELECT 1` may be estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import orjson

from convergence.sandbox import billing_export, google
from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

ROOT: Final = "/v1/bigquery/v2"
_JOBS_MAX: Final = 1_000
_BYTES: Final = 10_485_760  # what a query of the export would read: the least that BigQuery bills
_AMOUNTS: Final = (
    *("quantity", "consumed_quantity", "cost", "credits", "grants", "list_cost"),
    *("list_price", "effective_price", "price_quantity"),
)
_TYPES: Final = {"usage_date": "DATE", **dict.fromkeys(_AMOUNTS, "BIGNUMERIC")}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Result = tuple[list[dict[str, Any]], list[dict[str, Any]]]  # columns, rows


def is_ours(path: str) -> bool:
    """Whether the path belongs to this API."""
    return path.startswith(f"{ROOT}/projects/")


class BigQuery:
    """One project's jobs, by their ids. `run` gives the result of a query: of the sandbox's exports by default."""

    def __init__(self, run: Callable[[Mapping[str, Any]], Result] | None = None) -> None:
        self._result = run or _result
        self._jobs: dict[str, Result] = {}

    def answer(self, request: Request) -> Response:
        """Answer a query, a job, or a page of a result."""
        refusal = google.refusal(request)
        if refusal is not None:
            return refusal
        method, _, job = request.path.partition("/projects/")[2].partition("/")[2].partition("/")
        if request.method == "POST":
            body = orjson.loads(request.body)
            return self._queried(body) if method == "queries" else self._inserted(body)
        if job not in self._jobs:
            return google.error(404, f"Not found: Job {job}", "NOT_FOUND")
        if method == "jobs":
            return _ok(self._job(job, {"state": "DONE"}))
        query = Query(request.query)
        start = int(query.one("pageToken", query.one("startIndex", "0")))
        return _ok(self._page(job, start, query.whole("maxResults", 10_000)))

    def _queried(self, body: Mapping[str, Any]) -> Response:
        job = str(body.get("requestId", "query"))
        refusal = self._run(job, body)
        if refusal is not None:
            return refusal
        if body.get("dryRun"):
            return _ok({"jobComplete": True, "totalBytesProcessed": str(_BYTES), "schema": {"fields": []}})
        return _ok(self._page(job, 0, int(body.get("maxResults", 10_000))))

    def _inserted(self, body: Mapping[str, Any]) -> Response:
        configuration, job = body["configuration"], str(body["jobReference"].get("jobId", "dry"))
        refusal = self._run(job, {**configuration["query"], "dryRun": configuration.get("dryRun")})
        return refusal or _ok(self._job(job, {"state": "DONE"}, configuration))

    def _run(self, job: str, body: Mapping[str, Any]) -> Response | None:
        """Store the rows of a query under its job; return the reason if it is refused."""
        if body.get("dryRun") and body["query"] == "SELECT 1":
            return None
        if not any(f"`{table}`" in body["query"] for table in (google.TABLE, billing_export.TABLE)):
            return google.error(404, "Not found: Table", "NOT_FOUND")
        limit = body.get("maximumBytesBilled")
        if limit is not None and int(limit) < _BYTES:
            message = f"Query exceeded limit for bytes billed: {limit}. {_BYTES} or higher required."
            return google.error(400, message, "INVALID_ARGUMENT")
        if not body.get("dryRun"):
            self._jobs[job] = self._result(body)
            if len(self._jobs) > _JOBS_MAX:
                del self._jobs[next(iter(self._jobs))]
        return None

    def _job(self, job: str, status: Mapping[str, Any], configuration: Any = None) -> dict[str, Any]:
        return {
            "jobReference": _reference(job),
            "configuration": {"jobType": "QUERY", **(configuration or {"query": {}})},
            "status": status,
            "statistics": {"totalBytesProcessed": str(_BYTES), "query": {"totalBytesProcessed": str(_BYTES)}},
        }

    def _page(self, job: str, start: int, size: int) -> dict[str, Any]:
        fields, rows = self._jobs[job]
        page = {
            "jobComplete": True,
            "jobReference": _reference(job),
            "schema": {"fields": fields},
            "totalRows": str(len(rows)),
            "rows": [_cells(fields, row) for row in rows[start : start + size]],
        }
        return page | ({"pageToken": str(start + size)} if 0 < size < len(rows) - start else {})


def _result(body: Mapping[str, Any]) -> Result:
    """Return what the statement gives: of the table that it names."""
    values = {one["name"]: one["parameterValue"] for one in body.get("queryParameters", ())}
    first, last = (date.fromisoformat(values[name]["value"]) for name in ("start_date", "end_date"))
    if f"`{billing_export.TABLE}`" in body["query"]:
        exported = (datetime.fromisoformat(values[name]["value"]) for name in ("exported_from", "exported_until"))
        return billing_export.fields(), billing_export.rows(first, last, *exported)
    rows = google.export(first, last, [one["value"] for one in values["services"]["arrayValues"]])
    return [{"name": name, "type": _TYPES.get(name, "STRING")} for name in (rows[0] if rows else ())], list(rows)


def _cells(fields: list[dict[str, Any]], row: Mapping[str, Any]) -> dict[str, Any]:
    return {"f": [{"v": _cell(field, row.get(field["name"]))} for field in fields]}


def _cell(field: dict[str, Any], value: Any) -> Any:
    if field.get("mode") == "REPEATED":
        return [{"v": _cells(field["fields"], each)} for each in value or ()]
    if isinstance(value, datetime):
        return str((value - _EPOCH) // timedelta(microseconds=1))
    return value.isoformat() if isinstance(value, date) else value


def _reference(job: str) -> dict[str, str]:
    return {"projectId": google.PROJECT, "jobId": job, "location": "EU"}


def _ok(body: Mapping[str, Any]) -> Response:
    return Response(200, orjson.dumps(body))
