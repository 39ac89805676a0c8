"""Mark org queues as ready to be looked at. Nothing is admitted here: the order of orgs is the admission pass's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from convergence.domain.caps import GLOBAL
from convergence.domain.queue import OrgQueue, queue_path
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.queue.reservation import caps_of, free_places
from convergence.engine.services import Services
from convergence.errors import Conflict
from convergence.ports.documents import Order, Replace, Where

logger = logging.getLogger(__name__)
_PAGE: Final = 100
_ATTEMPTS: Final = 5
_MORE: Final = 5  # orgs that are woken beyond the free places of a cap: some of them have other limits
_WORTH_NOTING: Final = 0.1  # of a mean run time: a smaller change is not
_WEIGHT_OF_LATEST: Final = 0.2  # in the mean of a pipeline's run times


async def wake(services: Services, org: str, ended: Run | None = None) -> bool:
    """Make an org's queue ready if runs wait in it; after the end of a run, note how long its pipeline takes.

    Return whether it is ready now.
    """
    for _ in range(_ATTEMPTS):
        document = await services.documents.get(queue_path(org))
        if document is None:
            return False
        queue = OrgQueue.from_data(document.data)
        minutes = queue.minutes if ended is None else _minutes(queue, ended)
        due = queue.next_check_at is not None  # to be taken away, or the next look at due orgs finds it again
        if not queue.waiting_pools and not due:
            return queue.ready
        if queue.ready and not due and not _differ(queue.minutes, minutes):
            return True
        woken = changed(
            queue,
            ready=True,
            next_check_at=None,
            blocked_on=(),
            reason="",
            minutes=minutes,
            token=services.ids.new("t"),
        )
        try:
            await services.documents.commit([Replace(woken.path, document.version, woken.to_data())])
        except Conflict:
            continue
        return True
    return True  # it is being written all the time: a pass finds out


async def wake_after(services: Services, run: Run) -> bool:
    """After the end of a run: wake its org, and the orgs that wait for a cap in which it held a place.

    Return whether any org is ready now, or may be.
    """
    woken = await wake(services, run.org, run)
    caps = caps_of(services, run.provider, run.credential_id)
    shared = [cap for cap in caps if cap.name != GLOBAL]
    for name, free in (await free_places(services, shared)).items():
        if free:
            woken |= bool(await wake_blocked(services, name, free + _MORE))
    return woken or len(shared) < len(caps)


async def wake_blocked(services: Services, cap: str, limit: int) -> int:
    """Make the first orgs that wait for a cap ready, in the order in which they would be admitted; return how many."""
    page = await services.documents.query(
        "org_queues",
        where=[Where("blocked_on", "array-contains", cap)],
        order=[Order("virtual_start")],
        limit=limit,
    )
    await _wake_all(services, (document.data["org"] for document in page.documents))
    return len(page.documents)


async def wake_due(services: Services) -> int:
    """Make the orgs ready whose limits may have opened meanwhile; return how many."""
    now, woken = services.clock.now(), 0
    cursor: str | None = None
    while True:
        page = await services.documents.query(
            "org_queues",
            where=[Where("next_check_at", "<=", to_text(now))],
            order=[Order("next_check_at")],
            limit=_PAGE,
            cursor=cursor,
        )
        await _wake_all(services, (document.data["org"] for document in page.documents))
        woken += len(page.documents)
        cursor = page.cursor
        if cursor is None:
            return woken


async def _wake_all(services: Services, orgs: Iterable[str]) -> None:
    for org in orgs:
        try:
            await wake(services, org)
        except (TypeError, ValueError) as error:  # one that cannot be read does not block the others
            logger.warning("queue of %s: %s", org, error, exc_info=error)


def _differ(known: Mapping[str, float], now: Mapping[str, float]) -> bool:
    """Tell whether a mean has moved enough to be worth a write to a queue that a pass may be about to write."""
    return any(abs(mean - known.get(name, 0.0)) > _WORTH_NOTING * mean for name, mean in now.items())


def _minutes(queue: OrgQueue, run: Run) -> dict[str, float]:
    if run.finished_at is None or run.started_at is None:
        return dict(queue.minutes)
    took = (run.finished_at - run.started_at) / timedelta(minutes=1)
    before = queue.minutes.get(run.pipeline)
    mean = took if before is None else before + _WEIGHT_OF_LATEST * (took - before)
    return {**queue.minutes, run.pipeline: round(mean, 4)}
