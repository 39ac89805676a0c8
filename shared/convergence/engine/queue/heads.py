"""The runs of an org's queue that may come next: the first one of each of its pools."""

from __future__ import annotations

from typing import Final, NamedTuple

from convergence.domain.queue import OrgQueue
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, read_run
from convergence.errors import Conflict
from convergence.ports.documents import Order, Where

_LOWEST_EVERY: Final = 8  # one admission in so many is for the least urgent class, so that it never starves


class Head(NamedTuple):
    """The first run of a pool."""

    stored: StoredRun
    pool: str


async def first_runs(services: Services, queue: OrgQueue) -> list[Head]:
    """Return the first run of each pool, the org's most urgent first; of every eighth, the least urgent first."""
    lowest = queue.admitted % _LOWEST_EVERY == _LOWEST_EVERY - 1
    heads = [head for pool in sorted(queue.waiting_pools) if (head := await _head(services, queue.org, pool))]
    heads.sort(key=lambda head: head.stored.run.queue.rank if head.stored.run.queue else "")
    if not lowest:
        return heads
    least = [head for pool in sorted(queue.waiting_pools) if (head := await _head(services, queue.org, pool, "2"))]
    kept = {head.stored.run.run_id for head in least}
    return [*least, *(head for head in heads if head.stored.run.run_id not in kept)]


async def _head(services: Services, org: str, pool: str, least: str = "") -> Head | None:
    where = [Where("queue.org", "==", org), Where("queue.pool", "==", pool)]
    if least:
        where.append(Where("queue.rank", ">=", least))
    page = await services.documents.query("runs", where=where, order=[Order("queue.rank")], limit=1)
    if not page.documents:
        return None
    stored = await read_run(services, page.documents[0].path.rpartition("/")[2])
    if stored is None or stored.run.queue is None:
        raise Conflict("the head of the queue has moved; read again")
    return Head(stored, pool)
