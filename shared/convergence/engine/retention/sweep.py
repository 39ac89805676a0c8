"""The sweep: mark a run as being removed, then remove its children, then the run; small commits, bounded work.

A marked run cannot be replayed, so whatever its children are at any moment, no run needs them. After a crash the next
sweep continues: what is marked is still found by its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.retention.rows import remove_rows
from convergence.engine.retention.stages import remove_stages
from convergence.engine.services import Services
from convergence.engine.store import DEAD_LETTERS, StoredRun, commit
from convergence.errors import Conflict, ConvergenceError
from convergence.ports.documents import Create, Delete, Document, Order, Replace, Where, Write

logger = logging.getLogger(__name__)
# Documents without children.
STANDING_ALONE: Final = (DEAD_LETTERS, "backfills", "dead_letter_replays", "webhook_deliveries")
COMMIT_MAX: Final = 100
_PAGE: Final = 50
_SWEEP_MAX_S: Final = 10.0
_REST_S: Final = 3600.0  # after a sweep that left nothing
_CLAIM_S: Final = 60.0
_CLOCK: Final = "retention/sweep"


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed; `more`: it ended because it had done its share."""

    runs: int = 0
    documents: int = 0
    more: bool = False


async def sweep_due(services: Services) -> Swept:
    """Sweep when it is time: one process at a time, at most ten seconds, then hourly unless something is left."""
    now = services.clock.now()
    stored = await services.documents.get(_CLOCK)
    if stored is not None and stored.data["next_at"] > to_text(now):
        return Swept()
    claim = {"next_at": to_text(now + timedelta(seconds=_CLAIM_S)), "token": services.ids.new("t")}
    claimed: Write = Create(_CLOCK, claim) if stored is None else Replace(_CLOCK, stored.version, claim)
    try:
        (version,) = await commit(services.documents, [claimed], claim["token"])
        swept = await sweep(services, seconds_max=_SWEEP_MAX_S)
        if not swept.more:
            await _rows(services)
        after = services.clock.now() + timedelta(seconds=0.0 if swept.more else _REST_S)
        rest = {"next_at": to_text(after), "token": services.ids.new("t")}
        await commit(services.documents, [Replace(_CLOCK, version, rest)], rest["token"])
    except Conflict:
        return Swept()  # another process has it
    return swept


async def _rows(services: Services) -> None:
    try:
        await remove_rows(services, wake=False)
        await remove_stages(services)
    except ConvergenceError as error:  # a warehouse that cannot be written does not block schedules
        logger.warning("old rows of the warehouse: %s; the next sweep tries again", error)


async def sweep(services: Services, *, seconds_max: float | None = None) -> Swept:
    """Remove what has expired, for at most so many seconds; None: until nothing is left."""
    began, runs, documents = services.clock.now(), 0, 0
    while True:
        await _turn()
        swept = await _sweep_runs(services)
        alone = sum([await _sweep_alone(services, collection) for collection in STANDING_ALONE])
        runs, documents = runs + swept.runs, documents + swept.documents + alone
        if not swept.runs and not alone:
            return Swept(runs, documents)
        if seconds_max is not None and (services.clock.now() - began).total_seconds() >= seconds_max:
            return Swept(runs, documents, more=True)


async def _turn() -> None:
    """Let requests run: reads of a store in this process wait for nothing, so the sweep would hold them up."""
    await asyncio.sleep(0)


async def _sweep_runs(services: Services) -> Swept:
    page = await services.documents.query(
        "runs",
        where=[Where("expire_at", "<=", to_text(services.clock.now()))],
        order=[Order("expire_at")],
        limit=_PAGE,
    )
    found = [StoredRun(Run.from_data(each.data), each.version) for each in page.documents]
    marked = [each for each in found if each.run.removing]
    marked += await _mark(services, [each for each in found if not each.run.removing and is_over(each.run)])
    waiting: list[Write] = []
    removed = 0
    for each in marked:
        await _turn()
        children = await _children(services, each.run)
        removed += len(children) + 1
        if len(waiting) + len(children) + 1 > COMMIT_MAX:
            await _delete(services, waiting)
            waiting = []
        while len(children) >= COMMIT_MAX:
            await _delete(services, children[:COMMIT_MAX])
            children = children[COMMIT_MAX:]
        waiting += [*children, Delete(each.run.path, each.version)]
    await _delete(services, waiting)
    return Swept(runs=len(marked), documents=removed)


def is_over(run: Run) -> bool:
    """Tell whether nothing is left to do for a run."""
    return run.terminal and run.check_at is None


async def _mark(services: Services, found: Sequence[StoredRun]) -> list[StoredRun]:
    """Mark runs as being removed; those that another writer has changed since are left out."""
    if not found:
        return []
    token = services.ids.new("t")
    marked = [changed(each.run, removing=True, token=token) for each in found]
    writes = [Replace(run.path, each.version, run.to_data()) for run, each in zip(marked, found, strict=True)]
    try:
        versions = await commit(services.documents, writes, token)
    except Conflict:
        if len(found) == 1:
            return []
        return [one for each in found for one in await _mark(services, [each])]
    return [StoredRun(run, version) for run, version in zip(marked, versions, strict=True)]


async def _children(services: Services, run: Run) -> list[Write]:
    """Return the writes that remove steps, plans and dead letters of a run."""
    found: list[Write] = [Delete(each.path) for each in await _all(services, f"{run.path}/steps", [])]
    found += [Delete(each.path) for each in await _all(services, f"{run.path}/plan", [])]
    dead_letters = await _all(services, DEAD_LETTERS, [Where("run_id", "==", run.run_id)])
    return [*found, *(Delete(each.path) for each in dead_letters)]


async def _all(services: Services, collection: str, where: Sequence[Where]) -> list[Document]:
    found: list[Document] = []
    cursor: str | None = None
    while True:
        page = await services.documents.query(collection, where=where, limit=500, cursor=cursor)
        found += page.documents
        cursor = page.cursor
        if cursor is None:
            return found


async def _sweep_alone(services: Services, collection: str) -> int:
    """Remove expired documents of a collection; one that was changed since is left for the next sweep."""
    where = [Where("expire_at", "<=", to_text(services.clock.now()))]
    page = await services.documents.query(collection, where=where, order=[Order("expire_at")], limit=COMMIT_MAX)
    removed = 0
    for writes in _halves([Delete(each.path, each.version) for each in page.documents]):
        try:
            await services.documents.commit(writes)
        except Conflict:
            continue
        removed += len(writes)
        if removed == len(page.documents):
            break
    return removed


def _halves(writes: list[Delete]) -> Iterator[list[Delete]]:
    """Yield all writes; should that fail, each alone."""
    if writes:
        yield writes
    if len(writes) > 1:
        yield from ([each] for each in writes)


async def _delete(services: Services, writes: Sequence[Write]) -> None:
    if writes:
        await services.documents.commit(writes)
