"""The admission pass: which queued runs start now, in start-time fair order over orgs (docs/scheduling.md).

Order of reads: an org's queue is read before its runs. An enqueue in between then fails the pass's commit on that
queue; read the other way round, the new run would be forgotten.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final, NamedTuple

from convergence.domain.queue import OrgQueue, queue_path
from convergence.engine.queue.admit_next import Turn, admit_next, rest
from convergence.engine.queue.reservation import free_places, installation_caps, with_one_registry
from convergence.engine.services import Services
from convergence.engine.store import write
from convergence.errors import Conflict, Transient
from convergence.ports.documents import Order, Where

logger = logging.getLogger(__name__)
_PAGE: Final = 50
_FIRST_PAGE: Final = 5
_MORE: Final = 5  # orgs beyond the free places: some of them have other limits
_PASS_MAX: Final = 200  # admissions
_PASS_MAX_S: Final = 10.0
_CLOCK: Final = "admission/clock"
_CLOCK_EVERY_S: Final = 1.0


class Admitted(NamedTuple):
    """What a pass did."""

    runs: int


@dataclass(slots=True)
class _Pass:
    """One pass: the heap of ready orgs, and how far it is."""

    virtual_time: float
    began: datetime
    heap: list[tuple[float, str]]
    admitted: int = 0
    places: int | None = None  # free ones of the installation, as far as the pass knows; None: it has to look


async def admission_pass(services: Services) -> Admitted:
    """Admit queued runs until no org is ready, no place is free, or the pass has done its share.

    At most one in each process: another one would only conflict with it.
    """
    async with services.cache.lock("admission"):
        return await _pass(services)


async def _pass(services: Services) -> Admitted:
    services, now = with_one_registry(services), services.clock.now()
    clock = await services.documents.get(_CLOCK)
    before = 0.0 if clock is None else float(clock.data["virtual_time"])
    current = _Pass(before, now, [])
    if installation_caps(services) and not await _ready(services, 1):  # one read instead of one per shard of the cap
        return Admitted(0)
    page = _FIRST_PAGE
    while True:
        room = await _room(services, current)
        page = min(_PAGE, max(page, room + _MORE))
        ready = await _ready(services, page) if room else []
        current.heap = [(max(queue.virtual_start, current.virtual_time), queue.org) for queue in ready]
        heapq.heapify(current.heap)
        progress = current.admitted
        # Orgs after the page come before one whose next turn is later than the page's last.
        last = ready[-1].virtual_start if len(ready) == page else inf
        while current.heap and current.heap[0][0] <= max(last, current.virtual_time):
            late = (services.clock.now() - now).total_seconds() > _PASS_MAX_S
            if late or current.admitted >= _PASS_MAX or not await _room(services, current):
                await _keep_time(services, current, before)
                return Admitted(current.admitted)
            await _next_org(services, current)
        moved = current.admitted > progress
        if len(ready) < page or (page == _PAGE and not moved):
            await _keep_time(services, current, before)
            return Admitted(current.admitted)
        page = page if moved else _PAGE  # the first ones wait for other limits: look further


async def _room(services: Services, current: _Pass) -> int:
    """Return how many places the installation has; more orgs than that are not worth checking.

    The caps are read again only when a place that was found was taken meanwhile: each admission reports how many are
    left, and a run that ends later publishes a message, which begins another pass.
    """
    caps = installation_caps(services)
    if not caps:
        return _PAGE
    if current.places is None:
        current.places = min((await free_places(services, caps)).values())
    return current.places


async def _ready(services: Services, limit: int) -> list[OrgQueue]:
    page = await services.documents.query(
        "org_queues", where=[Where("ready", "==", True)], order=[Order("virtual_start")], limit=limit
    )
    return [OrgQueue.from_data(document.data) for document in page.documents]


async def _next_org(services: Services, current: _Pass) -> None:
    tag, org = heapq.heappop(current.heap)
    document = await services.documents.get(queue_path(org))
    if document is None:
        return
    queue = OrgQueue.from_data(document.data)
    if not queue.ready:
        return
    moved = max(queue.virtual_start, current.virtual_time)
    if moved > tag and current.heap and moved > current.heap[0][0]:
        heapq.heappush(current.heap, (moved, org))  # another pass admitted a run of it: it is no longer its turn
        return
    try:
        turn = await admit_next(services, queue, document.version, moved)
    except Conflict:  # check the org again, in its place; another pass may have taken the room
        turn = Turn(moved, full=True)
    except Transient as error:
        logger.warning("queue of %s: %s; it is tried again in the next pass", org, error)
        return
    except Exception as error:  # an org whose run cannot be checked does not block the others
        logger.warning("queue of %s: %s; it is tried again in a minute", org, error, exc_info=error)
        await _put_off(services, queue, document.version, str(error))
        return
    if turn.admitted:
        current.virtual_time = moved
    current.admitted += turn.admitted
    if turn.admitted or turn.full:
        current.places = turn.places
    if turn.tag is not None:
        heapq.heappush(current.heap, (turn.tag, org))


async def _put_off(services: Services, queue: OrgQueue, version: int, reason: str) -> None:
    with suppress(Conflict, Transient):  # then the next pass tries it again
        await rest(services, queue, version, reason=reason[:1000])


async def _keep_time(services: Services, current: _Pass, before: float) -> None:
    """Store the virtual time, at most once a second; of two passes the larger one stays."""
    if current.virtual_time <= before:
        return
    stored = await services.documents.get(_CLOCK)
    known: Mapping[str, float] = {} if stored is None else stored.data
    now = services.clock.now().timestamp()
    if current.virtual_time <= known.get("virtual_time", 0.0) or now - known.get("at", 0.0) < _CLOCK_EVERY_S:
        return
    data = {"virtual_time": current.virtual_time, "at": now}
    try:
        await services.documents.commit([write(_CLOCK, 0 if stored is None else stored.version, data)])
    except Conflict:
        return  # the other pass stored its time
