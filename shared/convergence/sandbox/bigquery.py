"""BigQuery's REST API v2 over one table: the billing export of the sandbox's project.

Methods jobs.query, jobs.insert, jobs.get and jobs.getQueryResults, as plain HTTP and Google's own client call them. The
only statement that is known is the one that reads the export; `SELECT 1` may be estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import orjson

from convergence.sandbox import google
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


def is_ours(path: str) -> bool:
    """Whether the path belongs to this API."""
    return path.startswith(f"{ROOT}/projects/")


class BigQuery:
    """One project's jobs, by their ids."""

    def __init__(self) -> None:
        self._jobs: dict[str, list[dict[str, str | None]]] = {}

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
        if f"`{google.TABLE}`" not in body["query"]:
            return google.error(404, "Not found: Table", "NOT_FOUND")
        limit = body.get("maximumBytesBilled")
        if limit is not None and int(limit) < _BYTES:
            message = f"Query exceeded limit for bytes billed: {limit}. {_BYTES} or higher required."
            return google.error(400, message, "INVALID_ARGUMENT")
        values = {one["name"]: one["parameterValue"] for one in body.get("queryParameters", ())}
        first, last = (date.fromisoformat(values[name]["value"]) for name in ("start_date", "end_date"))
        rows = google.export(first, last, [one["value"] for one in values["services"]["arrayValues"]])
        if not body.get("dryRun"):
            self._jobs[job] = rows
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
        rows = self._jobs[job]
        names = list(rows[0]) if rows else []
        page = {
            "jobComplete": True,
            "jobReference": _reference(job),
            "schema": {"fields": [{"name": name, "type": _TYPES.get(name, "STRING")} for name in names]},
            "totalRows": str(len(rows)),
            "rows": [{"f": [{"v": row[name]} for name in names]} for row in rows[start : start + size]],
        }
        return page | ({"pageToken": str(start + size)} if 0 < size < len(rows) - start else {})


def _reference(job: str) -> dict[str, str]:
    return {"projectId": google.PROJECT, "jobId": job, "location": "EU"}


def _ok(body: Mapping[str, Any]) -> Response:
    return Response(200, orjson.dumps(body))
