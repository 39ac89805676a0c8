"""Wait for jobs. A request that BigQuery holds until a query ends takes the place of looking again and again.

An account has 100 requests a second for each method. `jobs.getQueryResults` with a timeout returns when the query ends:
a job costs three requests (begin, wait, look), however long it takes, instead of nine in its first seven seconds. It
says no more than that the wait is over: of a query that failed it answers with that query's error, which cannot be
told from an error of the request. What became of the job is read from `jobs.get`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.gcp.warehouse.cancel import cancel
from convergence.adapters.gcp.warehouse.client import CALL_TIMEOUT_S, HTTP, Client
from convergence.errors import ConvergenceError, StillRunning, Transient

if TYPE_CHECKING:
    from google.cloud import bigquery

AnyJob = Any  # a job of any kind

HOLD_S: Final = 60.0  # of one request; BigQuery answers after about 200 s at the latest
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0


async def until_done(client: Client, job: AnyJob, *, what: str, wait_s: float | None) -> None:
    """Wait until the job is done; its state is then final.

    Raises:
        StillRunning: it is not done within `wait_s`; it continues.
        CancelledError: the caller was cancelled, and the job with it.
    """
    clock, is_query = client.clock, job.job_type == "query"
    pause_s = 0.0 if is_query else _FIRST_PAUSE_S
    end = None if wait_s is None else clock.now() + timedelta(seconds=wait_s)
    try:
        while job.state != "DONE":
            left_s = HOLD_S if end is None else min(HOLD_S, (end - clock.now()).total_seconds())
            if left_s <= 0:
                raise StillRunning(f"{what} continues as job {job.job_id}: ask again")
            if is_query:
                await _hold(client, job, left_s)
            await clock.sleep(min(pause_s, left_s))
            pause_s = min(max(_FIRST_PAUSE_S, 1.5 * pause_s), _LONGEST_PAUSE_S)
            await found(client, lambda _: job.reload(**HTTP), job.job_id, doing=f"waiting for job {job.job_id}")
    except asyncio.CancelledError:
        await cancel(client, job.job_id, project=job.project, location=job.location)
        raise


async def found(client: Client, look: Callable[[bigquery.Client], AnyJob], name: str, *, doing: str) -> AnyJob:
    """Look at a job that exists: for a while after it began BigQuery may not find it (python-bigquery#2134)."""
    from google.api_core import exceptions as google

    def once(bigquery_client: bigquery.Client) -> AnyJob:
        try:
            return look(bigquery_client)
        except google.NotFound as error:
            raise Transient(f"waiting for BigQuery to find job {name}") from error

    return await client.call(once, doing=doing)


async def _hold(client: Client, job: AnyJob, hold_s: float) -> None:
    """Return when the query has ended, after `hold_s`, or when BigQuery does not hold the request."""
    from google.api_core.exceptions import GoogleAPIError

    def hold(bigquery_client: bigquery.Client) -> None:
        options: dict[str, Any] = {"retry": None, "timeout": hold_s + CALL_TIMEOUT_S}
        options |= {"project": job.project, "location": job.location, "timeout_ms": int(hold_s * 1_000)}
        bigquery_client._get_query_results(job.job_id, **options)  # noqa: SLF001 - the public `result` polls in its own loop

    with suppress(ConvergenceError, GoogleAPIError):
        await client.once(hold, doing=f"waiting for job {job.job_id}")
