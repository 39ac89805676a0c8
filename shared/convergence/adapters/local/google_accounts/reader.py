"""A reader over BigQuery's REST API v2: `jobs.query`, then `jobs.getQueryResults` for what did not come at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from convergence.adapters.google_accounts.checks import ROLES
from convergence.adapters.local.google_accounts.values import query_parameters, rest_rows
from convergence.adapters.retry import retried
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, StillRunning, Transient
from convergence.ports.http.answers import parsed, read_body

if TYPE_CHECKING:
    import httpx

    from convergence.ports.clock import Clock, Ids
    from convergence.ports.warehouse import Parameter

TOTAL_S: Final = 60.0  # of one call with all its retries
_WAIT_MS: Final = 20_000  # how long BigQuery itself waits for a query before it answers
_TIMEOUT_S: Final = 60.0  # one request
_BYTES_MAX: Final = 64 * 2**20  # of one answer
_PAUSE_S: Final = 1.0  # between two polls of a query that is still running
# Reasons of a 403 that only mean "later" ("Error messages", BigQuery documentation).
_LATER: Final = frozenset({"rateLimitExceeded", "quotaExceeded", "jobRateLimitExceeded", "backendError"})


class RestReader:
    """Asks one project with one token."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        clock: Clock,
        ids: Ids,
        *,
        root: str,
        project: str,
        location: str,
        token: str,
    ) -> None:
        self.project, self.token = project, token
        self._http, self._clock, self._ids = http, clock, ids
        self._location = location
        self._url = f"{root}/projects/{quote(project, safe='')}/queries"
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/json"}

    async def pages(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        page_rows: int = 10_000,
        bytes_max: int | None = None,
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield pages of typed rows; see the port."""
        body = {**self._body(sql, parameters), **_limit(bytes_max), "maxResults": page_rows, "timeoutMs": _WAIT_MS}
        answer = await self._complete(await self._asked("POST", self._url, json=body), page_rows)
        async for rows in self._rows(answer, 0, page_rows):
            yield rows

    async def begin(
        self, sql: str, parameters: Mapping[str, Parameter] | None = None, *, bytes_max: int | None = None
    ) -> str:
        """Begin a job; its name is `location.id`, because a job is found by both."""
        name = self._ids.new("read")
        query = self._body(sql, parameters)
        query = {key: query[key] for key in ("query", "useLegacySql", "parameterMode", "queryParameters")}
        where = {"location": self._location} if self._location else {}
        reference = {"projectId": self.project, "jobId": name, **where}
        body = {"jobReference": reference, "configuration": {"query": {**query, **_limit(bytes_max)}}}
        url = f"{self._url.removesuffix('queries')}jobs"
        try:
            answer = await self._asked("POST", url, json=body)
        except _Exists:  # sent twice: the first answer was lost
            answer = await self._asked("GET", f"{url}/{name}", params=where)
        try:
            return f"{answer['jobReference'].get('location', '')}.{answer['jobReference']['jobId']}"
        except (KeyError, TypeError):
            raise StepFailed("BigQuery answers without jobReference: check its address") from None

    async def result(
        self, job: str, *, first_row: int = 0, page_rows: int = 10_000, wait_s: float | None = None
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield pages of a job that `begin` began; see the port."""
        location, _, name = job.partition(".")
        begun = {"jobReference": {"jobId": name, "location": location}}
        end = None if wait_s is None else self._clock.now() + timedelta(seconds=wait_s)
        answer = await self._complete(begun, page_rows, first_row=first_row, end=end)
        async for rows in self._rows(answer, first_row, page_rows):
            yield rows

    async def _rows(self, answer: Any, first_row: int, page_rows: int) -> AsyncGenerator[list[dict[str, Any]], None]:
        read, seen = first_row, set[str]()
        while True:
            rows = rest_rows(answer)
            read += len(rows)
            if rows:
                yield rows
            token = answer.get("pageToken")
            if not token:
                break
            if token in seen:
                raise StepFailed("BigQuery repeats its pageToken: paging would never end")
            seen.add(token)
            answer = await self._complete(await self._results(answer, page_rows, token), page_rows)
        total = int(answer.get("totalRows") or 0)
        if read != total:
            raise StepFailed(f"BigQuery reports {total} rows, but its pages hold {read}")

    async def estimate(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> int:
        """Return the bytes of a dry run."""
        answer = await self._asked("POST", self._url, json={**self._body(sql, parameters), "dryRun": True})
        return int(answer.get("totalBytesProcessed") or 0)

    def _body(self, sql: str, parameters: Mapping[str, Parameter] | None) -> dict[str, Any]:
        return {
            "query": sql,
            "useLegacySql": False,
            "parameterMode": "NAMED",
            "queryParameters": query_parameters(parameters or {}),
            "requestId": self._ids.new("read"),  # a repeated request is the same query
            "formatOptions": {"useInt64Timestamp": True},
            **({"location": self._location} if self._location else {}),
        }

    async def _complete(self, answer: Any, page_rows: int, *, first_row: int = 0, end: datetime | None = None) -> Any:
        """Return the first page; without `end` the step's own timeout ends the wait."""
        asked = 0
        while not answer.get("jobComplete"):
            if "jobReference" not in answer:
                raise StepFailed("BigQuery answers without jobComplete and jobReference: check its address")
            if asked and end is not None and self._clock.now() >= end:
                raise StillRunning(f"the query continues as job {answer['jobReference']['jobId']}: ask again")
            if asked or end is None:
                await self._clock.sleep(_PAUSE_S)
            asked += 1
            answer = await self._results(answer, page_rows, "", first_row)
        return answer

    async def _results(self, answer: Any, page_rows: int, token: str, first_row: int = 0) -> Any:
        job = answer["jobReference"]
        params = {"maxResults": str(page_rows), "formatOptions.useInt64Timestamp": "true"}
        params |= {"startIndex": str(first_row)} if first_row else {}
        params |= {"location": str(job["location"])} if job.get("location") else {}
        params |= {"pageToken": token} if token else {}
        return await self._asked("GET", f"{self._url}/{quote(job['jobId'], safe='')}", params=params)

    async def _asked(self, method: str, url: str, **request: Any) -> Any:
        return await retried(
            lambda: self._once(method, url, request), clock=self._clock, ids=self._ids, total_s=TOTAL_S
        )

    async def _once(self, method: str, url: str, request: dict[str, Any]) -> Any:
        import httpx

        asked = self._http.build_request(method, url, headers=self._headers, timeout=_TIMEOUT_S, **request)
        try:
            answer = await self._http.send(asked, stream=True)
            try:
                body = await read_body(answer, "BigQuery", bytes_max=_BYTES_MAX)
            finally:
                await answer.aclose()
        except httpx.RequestError as error:
            raise Transient(f"waiting for BigQuery: {type(error).__name__}") from None  # it holds the token
        if answer.status_code != 200:
            raise _refused(answer.status_code, body)
        return parsed(answer, body, "BigQuery", exact=False, data_path="errors")  # warnings, where a query succeeded


class _Exists(StepFailed):
    """A job with this id exists already."""


def _limit(bytes_max: int | None) -> dict[str, str]:
    return {} if bytes_max is None else {"maximumBytesBilled": str(bytes_max)}


def _refused(status: int, body: bytes) -> ConvergenceError:
    try:
        error = orjson.loads(body)["error"]
        message = str(error["message"])[:500]
        reason = str((error.get("errors") or [{}])[0].get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        message, reason = f"it answers {status} without a reason", ""
    if status == 429 or status >= 500 or reason in _LATER:
        return Transient(f"waiting for BigQuery: {reason or message}")
    if status == 409:
        return _Exists(f"BigQuery: {message}")
    if status == 401:
        return CredentialRejected(
            "BigQuery does not recognize the credential (401): store a new key of the service account"
        )
    if status == 403:
        return CredentialRejected(f"BigQuery: the service account may not do this. {ROLES} Google says: {message}")
    if reason == "bytesBilledLimitExceeded" or "limit for bytes billed" in message:
        return StepFailed(f"BigQuery: {message} Select fewer columns or dates, or raise the limit.")
    if 300 <= status < 400:
        return StepFailed(f"BigQuery redirects ({status}): set its final address")
    return StepFailed(f"BigQuery: {message}")
