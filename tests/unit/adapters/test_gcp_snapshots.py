"""The statement that takes a table snapshot, as it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast

from convergence.adapters.gcp.warehouse.jobs import JobOptions, Jobs
from convergence.adapters.gcp.warehouse.snapshots import Snapshots
from convergence.ports.warehouse import Scope


class SentJobs:
    """Keeps what is sent; the dataset has two tables, a view, yesterday's snapshot, and today's of one table."""

    project = "p"

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.client = self
        self.ids = SimpleNamespace(new=lambda prefix: f"{prefix}-1")

    def list_tables(self, path: str, **_: Any) -> list[SimpleNamespace]:
        assert path == "p.acme_prod"
        kinds = {"usage": "TABLE", "usage_current": "VIEW", "usage_snapshot_20261129": "SNAPSHOT"}
        kinds |= {"done": "TABLE", "done_snapshot_20261130": "SNAPSHOT"}
        return [SimpleNamespace(table_id=name, table_type=kind) for name, kind in kinds.items()]

    async def call(self, work: Callable[[Any], Any], *, doing: str) -> Any:
        assert doing
        return work(self)

    async def query(self, _: str, sql: str, *__: Any, **___: Any) -> None:
        self.sent.append(sql)


def test_only_tables_get_one_and_it_expires_at_an_instant_in_utc() -> None:
    jobs = SentJobs()
    snapshots = Snapshots(cast("Jobs", jobs), JobOptions({}, None, "p"))
    until = datetime(2027, 1, 4, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    taken = asyncio.run(snapshots.take(Scope(dataset="acme_prod"), (), suffix="_snapshot_20261130", until=until))
    assert taken == ["usage", "done"]  # what a run that was cut off has taken is not asked for again
    assert jobs.sent == [
        "CREATE SNAPSHOT TABLE IF NOT EXISTS `p.acme_prod.usage_snapshot_20261130`"
        " CLONE `p.acme_prod.usage`"
        " OPTIONS (expiration_timestamp = TIMESTAMP '2027-01-03 23:30:00+00')"
    ]
