"""Cancel a job whose caller gave up: without a caller it would only cost money."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.gcp.warehouse.client import HTTP, Client
from convergence.errors import ConvergenceError

if TYPE_CHECKING:
    from google.cloud import bigquery

_CANCEL_S: Final = 10.0
_AGAIN_S: Final = 0.1


async def cancel(
    client: Client,
    name: str,
    *,
    project: str | None,
    location: str | None = None,
    sending: asyncio.Future[Any] | None = None,
) -> None:
    """Cancel a job, for a bounded time; what cannot be reached is left alone.

    Args:
        location: Where the job runs: outside of the multi-regions it is not found without ("Managing jobs").
        sending: The call that begins the job, while the job may still be on its way; its answer says where it runs.
    """
    # The caller gets the cancellation, whether or not the job could be reached.
    from google.api_core import exceptions as google

    with contextlib.suppress(TimeoutError, ConvergenceError, google.GoogleAPIError):
        await asyncio.wait_for(_until_known(client, name, project, location, sending), _CANCEL_S)
    if sending is not None:
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())


async def _until_known(
    client: Client, name: str, project: str | None, location: str | None, sending: asyncio.Future[Any] | None
) -> None:
    from google.api_core import exceptions as google

    while True:
        sent = sending is None or sending.done()
        if sending is not None and sent and not sending.cancelled() and sending.exception() is None:
            location = sending.result().location

        def send(bigquery_client: bigquery.Client, where: str | None = location) -> None:
            bigquery_client.cancel_job(name, project=project, location=where, **HTTP)

        try:
            return await client.call(send, doing=f"cancelling job {name}", total_s=_CANCEL_S)
        except google.NotFound:
            if sending is None or sent:
                return None
            await asyncio.wait([sending], timeout=_AGAIN_S)
