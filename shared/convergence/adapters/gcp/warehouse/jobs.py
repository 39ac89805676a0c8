"""Jobs under ids that are known beforehand: sent once, found again, cancelled with their caller.

A job id is taken forever, also by a job that failed. So the id of a job is the first of `id`, `id-1`, `id-2`, … under
which none has failed; each is only passed when BigQuery itself says that its job failed. A job that succeeded is the
answer, one that runs is waited for ("Running jobs programmatically", BigQuery documentation).

An id is revoked by a job that does nothing and is labelled as such: a later write finds it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from convergence.adapters.gcp.warehouse.cancel import cancel
from convergence.adapters.gcp.warehouse.client import HTTP, Client
from convergence.adapters.gcp.warehouse.errors import job_error
from convergence.adapters.gcp.warehouse.labels import lineage_labels
from convergence.adapters.gcp.warehouse.waiting import AnyJob, found, until_done
from convergence.errors import LeaseLost, Transient
from convergence.ports.warehouse import JobSettings, Lineage

if TYPE_CHECKING:
    from google.cloud import bigquery

Begin = Callable[["bigquery.Client", str], AnyJob]  # sends a job with this id
SettingsOf = Callable[[str], Awaitable[JobSettings]]  # of an org's jobs

ATTEMPTS_MAX: Final = 50  # failed jobs under one id, before the operator has to look
_LOCATION: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,40}")
FINGERPRINT: Final = "fingerprint"  # the label of a write that identifies its content
REVOKED: Final = "revoked"  # the label of a job that holds an id so that no write takes it


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that succeeded. `repeated`: it was there before we sent it. `failed_before`: others under its id failed."""

    job: AnyJob
    repeated: bool
    failed_before: int


class Jobs:
    """Sends jobs and waits for them."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def run(
        self,
        job_id: str,
        begin: Begin,
        *,
        what: str,
        project: str | None = None,
        wait_s: float | None = None,
        committed: Callable[[], Awaitable[bool]] | None = None,
    ) -> Ended:
        """Run a job once under `job_id`; one that is there already is waited for.

        `committed` tells whether a job that is reported as failed still took effect.

        Raises:
            StillRunning: it did not end within `wait_s`; it continues.
            LeaseLost: its id was revoked.
            ConvergenceError: it failed (see `job_error`); cancelled with the caller it raises `CancelledError`.
        """
        for attempt in range(ATTEMPTS_MAX):
            name = job_id if attempt == 0 else f"{job_id}-{attempt}"
            job, ours = await self._begun(name, begin, what, project)
            await until_done(self.client, job, what=what, wait_s=wait_s)
            if not job.error_result:
                if not ours and _is_revoked(job):
                    raise LeaseLost(f"job {name} was revoked: another owner has taken over its step")
                return Ended(job, repeated=not ours, failed_before=attempt)
            if ours:
                raise job_error(job.error_result, what=what)
            if committed is not None and await committed():
                return Ended(job, repeated=True, failed_before=attempt)
        raise Transient(f"{what} failed {ATTEMPTS_MAX} times under the id {job_id}")

    async def query(
        self,
        job_id: str,
        sql: str,
        config: bigquery.QueryJobConfig,
        *,
        what: str,
        project: str | None = None,
        wait_s: float | None = None,
        committed: Callable[[], Awaitable[bool]] | None = None,
    ) -> Ended:
        """Run a query job once under `job_id`, in `project` where that is not the datasets' own; see `run`."""
        options: dict[str, Any] = {"job_config": config, "project": project, "job_retry": None}

        def begin(client: bigquery.Client, name: str) -> AnyJob:
            return client.query(sql, job_id=name, api_method="INSERT", **options, **HTTP)

        return await self.run(job_id, begin, what=what, project=project, wait_s=wait_s, committed=committed)

    async def begin_query(self, job_id: str, sql: str, config: bigquery.QueryJobConfig, *, what: str) -> AnyJob:
        """Begin a query job once under `job_id`; it goes on without its caller."""

        def begin(client: bigquery.Client, name: str) -> AnyJob:
            return client.query(sql, job_id=name, api_method="INSERT", job_config=config, job_retry=None, **HTTP)

        return (await self._begun(job_id, begin, what, None))[0]

    async def ended(self, job_id: str, *, location: str, what: str, wait_s: float | None) -> AnyJob:
        """Return a job that has succeeded. Raises `StillRunning` when it does not end within `wait_s`."""
        job = await self.client.call(
            lambda client: client.get_job(job_id, location=location or None, **HTTP), doing=f"looking at job {job_id}"
        )
        await until_done(self.client, job, what=what, wait_s=wait_s)
        if job.error_result:
            raise job_error(job.error_result, what=what)
        return job

    async def close(
        self, job_id: str, config: bigquery.QueryJobConfig, *, project: str | None, wait_s: float | None
    ) -> AnyJob | None:
        """Return the job that succeeded under `job_id`; where there is none, revoke the id with a job of this `config`.

        Raises:
            StillRunning: a job under this id did not end within `wait_s`.
        """
        config.labels = {**config.labels, REVOKED: "true"}
        config.use_query_cache = False
        try:
            ended = await self.query(
                job_id, "SELECT 1", config, what=f"closing job {job_id}", project=project, wait_s=wait_s
            )
        except LeaseLost:
            return None
        return ended.job if ended.repeated else None

    async def rows(self, job: AnyJob, rows_max: int | None = None) -> tuple[Any, list[tuple[Any, ...]]]:
        """Return (schema fields, rows as tuples) of a query job that ended."""

        def fetch(_: bigquery.Client) -> tuple[Any, list[tuple[Any, ...]]]:
            result = job.result(max_results=rows_max, job_retry=None, **HTTP)
            return result.schema, [tuple(row.values()) for row in result]

        return await self.client.call(fetch, doing=f"reading the rows of {job.job_id}")

    async def _begun(self, name: str, begin: Begin, what: str, project: str | None) -> tuple[AnyJob, bool]:
        from google.api_core import exceptions as google

        sending = asyncio.ensure_future(self.client.call(lambda client: begin(client, name), doing=what))
        try:
            return await asyncio.shield(sending), True
        except google.Conflict as error:
            return await self._found(name, project, _location_in(error.message, name)), False
        except asyncio.CancelledError:
            await cancel(self.client, name, project=project, sending=sending)
            raise
        except (google.NotFound, google.PreconditionFailed) as error:
            raise job_error({"reason": "notFound", "message": error.message}, what=what) from error

    async def _found(self, name: str, project: str | None, location: str | None) -> AnyJob:
        def look(client: bigquery.Client) -> AnyJob:
            return client.get_job(name, project=project, location=location, **HTTP)

        return await found(self.client, look, name, doing=f"looking at job {name}")


def _location_in(message: str, name: str) -> str | None:
    """Return the location that a duplicate's message names, as in `Already Exists: Job p:europe-west3.read_1`."""
    where = message.partition(f".{name}")[0].rpartition(":")[2]
    return where if _LOCATION.fullmatch(where) else None


def fingerprint_of(job: AnyJob) -> str:
    """Return the fingerprint of a job's write, '' if the job has none."""
    return str((job.labels or {}).get(FINGERPRINT, ""))


def _is_revoked(job: AnyJob) -> bool:
    return REVOKED in (job.labels or {})


class Options(NamedTuple):
    """How one query job runs: in which project (None: the datasets' own), and what its configuration carries."""

    project: str | None
    config: dict[str, Any]


class JobOptions:
    """What every query job's configuration carries: labels, and what the plan of the org says that caused it."""

    def __init__(self, labels: Mapping[str, str], settings: SettingsOf | None, project: str) -> None:
        """`project` is where the datasets are: names without a project mean it, wherever the job runs."""
        self._labels, self._settings, self._project = dict(labels), settings, project

    def plain(self) -> dict[str, Any]:
        """Return the options of a job of the installation itself."""
        return {"labels": dict(self._labels)}

    async def of(self, lineage: Lineage | None, *, fingerprint: str = "") -> Options:
        """Return the options of a job that a run caused; without a run, those of the installation.

        `fingerprint` is what a write is made of: a label, so that it is known as long as the job is.
        """
        from google.cloud import bigquery

        options: dict[str, Any] = {"labels": {**self._labels, **lineage_labels(lineage)}}
        if fingerprint:
            options["labels"][FINGERPRINT] = fingerprint
        if lineage is None or self._settings is None:
            return Options(None, options)
        expected = await self._settings(lineage.org_slug)
        if expected.priority is not None:
            options["priority"] = expected.priority
        if expected.reservation is not None:
            options["reservation"] = expected.reservation
        if expected.bytes_billed_max is not None:
            options["maximum_bytes_billed"] = expected.bytes_billed_max
        if expected.minutes_max is not None:
            options["job_timeout_ms"] = expected.minutes_max * 60_000
        if expected.project is not None:
            options["connection_properties"] = [bigquery.ConnectionProperty("dataset_project_id", self._project)]
        return Options(expected.project, options)
