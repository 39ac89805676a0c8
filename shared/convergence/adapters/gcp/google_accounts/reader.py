"""A reader on google-cloud-bigquery: a job in the customer's project, its rows page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from convergence.adapters.gcp.errors import VENDOR
from convergence.adapters.gcp.warehouse.client import CALL_TIMEOUT_S, HTTP, TOTAL_S, Client
from convergence.adapters.gcp.warehouse.jobs import Jobs
from convergence.adapters.gcp.warehouse.values import port_rows, query_parameters
from convergence.adapters.gcp.warehouse.waiting import AnyJob
from convergence.adapters.google_accounts.checks import ROLES
from convergence.errors import CloudSetup, CredentialRejected, InvalidInput, PermissionMissing, StepFailed
from convergence.ports.warehouse import Parameter

if TYPE_CHECKING:
    from google.cloud import bigquery


class BigQueryReader:
    """Asks with one client; `close` ends it for good."""

    def __init__(self, client: Client, token: str) -> None:
        self.project, self.token = client.project, token
        self._client, self._jobs, self._closed = client, Jobs(client), False

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        self._client.close()

    async def pages(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        page_rows: int = 10_000,
        bytes_max: int | None = None,
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield pages of typed rows; see the port. The job is cancelled when its caller is."""
        with self._theirs():
            config = _config(parameters, **_limit(bytes_max))
            job = (await self._jobs.query(self._client.ids.new("read"), sql, config, what="the query")).job
        async for rows in self._rows(job, 0, page_rows):
            yield rows

    async def begin(
        self, sql: str, parameters: Mapping[str, Parameter] | None = None, *, bytes_max: int | None = None
    ) -> str:
        """Begin a job; its name is `location.id`, because a job is found by both."""
        with self._theirs():
            config = _config(parameters, **_limit(bytes_max))
            job = await self._jobs.begin_query(self._client.ids.new("read"), sql, config, what="the query")
            return f"{job.location or ''}.{job.job_id}"

    async def result(
        self, job: str, *, first_row: int = 0, page_rows: int = 10_000, wait_s: float | None = None
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield pages of a job that `begin` began; see the port."""
        location, _, name = job.partition(".")
        with self._theirs():
            ended = await self._jobs.ended(name, location=location, what="the query", wait_s=wait_s)
        async for rows in self._rows(ended, first_row, page_rows):
            yield rows

    async def _rows(self, job: AnyJob, first_row: int, page_rows: int) -> AsyncGenerator[list[dict[str, Any]], None]:
        with self._theirs():
            total, found = await self._client.call(lambda _: _opened(job, first_row, page_rows), doing="reading rows")
        read = first_row
        while True:
            with self._theirs():
                # Once: an iterator that failed is at its end. Google's own retry is inside it.
                rows = await self._client.call(lambda _: _next(found), doing="reading rows", total_s=0)
            if rows is None:
                break
            read += len(rows)
            if rows:
                yield rows
        if read != total:
            raise StepFailed(f"BigQuery reports {total} rows, but its pages hold {read}")

    async def estimate(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> int:
        """Return the bytes of a dry run."""
        with self._theirs():
            config = _config(parameters, dry_run=True, use_query_cache=False)

            def send(client: bigquery.Client) -> int:
                return int(client.query(sql, job_config=config, job_retry=None, **HTTP).total_bytes_processed or 0)

            return await self._client.call(send, doing="a dry run")

    @contextmanager
    def _theirs(self) -> Iterator[None]:
        """Errors that concern the customer's identity: only the customer can act on them."""
        if self._closed:
            raise StepFailed("this reader belonged to an execution that ended: ask context.accounts for another")
        try:
            yield
        except PermissionMissing as error:
            raise CredentialRejected(f"BigQuery: the service account may not do this. {ROLES} {error}") from error
        except CloudSetup:
            raise CredentialRejected(
                "BigQuery does not accept the token of the service account: store a new key"
            ) from None
        except InvalidInput as error:
            raise StepFailed(str(error)) from error
        except VENDOR as error:  # what the client passes through: no such table, project or location
            raise StepFailed(f"BigQuery: {getattr(error, 'message', '') or error}") from error


def _config(parameters: Mapping[str, Parameter] | None, **options: Any) -> bigquery.QueryJobConfig:
    from google.cloud import bigquery

    return bigquery.QueryJobConfig(query_parameters=query_parameters(parameters or {}), **options)


def _limit(bytes_max: int | None) -> dict[str, Any]:
    return {} if bytes_max is None else {"maximum_bytes_billed": bytes_max}


def _opened(job: AnyJob, first_row: int, page_rows: int) -> tuple[int, Iterator[list[dict[str, Any]]]]:
    """Return (rows of the whole result, its pages, each requested when it is read)."""
    from google.cloud import bigquery

    retry = bigquery.DEFAULT_RETRY.with_timeout(TOTAL_S)
    found = job.result(
        page_size=page_rows, start_index=first_row or None, job_retry=None, retry=retry, timeout=CALL_TIMEOUT_S
    )
    pages = (port_rows(found.schema, [tuple(row.values()) for row in page]) for page in found.pages)
    return int(found.total_rows or 0), pages


def _next(pages: Iterator[list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
    return next(pages, None)
