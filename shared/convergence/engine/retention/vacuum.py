"""What a sweep would remove, and what was stored before there was a retention."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.retention.expiry import expiry
from convergence.engine.retention.rows import count_rows
from convergence.engine.retention.sweep import STANDING_ALONE, is_over
from convergence.engine.services import Services
from convergence.engine.store import DEAD_LETTERS, StoredRun, write_run
from convergence.errors import Conflict, StorageFault, StorageLocked, StorageUnusable
from convergence.ports.documents import Order, Where

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Survey:
    """How many records have expired. `older_runs` are of releases that had no retention.

    `rows`: of the warehouse's log and quarantine; None: another process has the warehouse open.
    """

    runs: int
    older_runs: int
    dead_letters: int
    requests: int
    webhook_deliveries: int
    rows: int | None


async def survey(services: Services) -> Survey:
    """Count what has expired; remove nothing."""
    expired = [Where("expire_at", "<=", to_text(services.clock.now()))]
    alone = {name: await services.documents.count(name, where=expired) for name in STANDING_ALONE}
    return Survey(
        runs=await services.documents.count("runs", where=expired),
        older_runs=sum([1 async for _ in _older(services)]),
        dead_letters=alone[DEAD_LETTERS],
        requests=alone["backfills"] + alone["dead_letter_replays"],
        webhook_deliveries=alone["webhook_deliveries"],
        rows=await _rows(services),
    )


async def _rows(services: Services) -> int | None:
    try:
        return await count_rows(services)
    except (StorageFault, StorageLocked, StorageUnusable):
        return None


async def let_older_expire(services: Services) -> int:
    """Give runs of earlier releases that are kept for long enough their expiry; return how many."""
    now, found = services.clock.now(), 0
    for stored in [each async for each in _older(services)]:
        run = changed(stored.run, expire_at=now, token=services.ids.new("t"))
        try:
            await write_run(services, run, stored.version)
        except Conflict:
            continue  # it is being replayed
        found += 1
    return found


async def _older(services: Services) -> AsyncIterator[StoredRun]:
    """Yield runs without an expiry whose org keeps them no longer; no org may keep runs for less than `at_least`."""
    now = services.clock.now()
    before = now - timedelta(days=services.retention().runs.at_least)
    cursor: str | None = None
    while True:
        page = await services.documents.query(
            "runs",
            where=[Where("created_at", "<", to_text(before))],
            order=[Order("created_at", descending=True)],
            limit=_PAGE,
            cursor=cursor,
        )
        for document in page.documents:
            run = Run.from_data(document.data)
            since = run.finished_at or run.created_at
            if run.expire_at is None and is_over(run) and await expiry(services, "runs", run.org, since) <= now:
                yield StoredRun(run, document.version)
        cursor = page.cursor
        if cursor is None:
            return
