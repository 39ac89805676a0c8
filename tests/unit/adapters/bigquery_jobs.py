"""Jobs of a client whose requests go to a recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from google.cloud.bigquery import QueryJobConfig

from convergence.adapters.gcp.warehouse.client import Client
from convergence.adapters.gcp.warehouse.jobs import Jobs
from tests.simulation.faults import SeededIds
from tests.unit.adapters.bigquery_recorder import QuickClock


def with_jobs(address: str, body: Callable[[Jobs], Awaitable[Any]]) -> Any:
    """Run `body` with jobs of a client that knows no location, as that of a customer's key."""

    async def main() -> Any:
        client = Client(
            project="p", location=None, credentials=None, endpoint=address, clock=QuickClock(), ids=SeededIds(Random(1))
        )
        try:
            return await body(Jobs(client))
        finally:
            client.close()

    return asyncio.run(main())


def query(jobs: Jobs, **options: Any) -> Awaitable[Any]:
    """Begin a query."""
    return jobs.query("read_1", "SELECT 1 AS a", QueryJobConfig(), what="the query", **options)
