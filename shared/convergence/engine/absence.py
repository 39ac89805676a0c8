"""Time without a worker does not count against a run's deadline: for the embedded mode, with its single process.

The worker leaves a mark every few seconds. A mark that is too old means that the process was down, the machine asleep
or its clock set forward; deadlines are extended by as much.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from convergence.domain.run import Run
from convergence.domain.times import from_text, to_text
from convergence.engine.queue.reservation import reserved_until
from convergence.engine.services import Services
from convergence.engine.store import budget_path, write
from convergence.errors import Conflict
from convergence.ports.documents import Document, FieldPath, Order, Patch, Replace, Write

logger = logging.getLogger(__name__)
MARK: Final = "workers/embedded"
MARK_EVERY_S: Final = 15.0
_ABSENT_AFTER_S: Final = 60.0  # within one process: its passes are seconds apart
_PAGE: Final = 100


async def note_alive(services: Services, *, started: bool = False) -> None:
    """Leave the mark, and first make up for the time since the previous one, if that was an absence.

    `started`: this process has just started, so all of that time was an absence. A repeat extends nothing twice.
    """
    mark, now = await services.documents.get(MARK), services.clock.now()
    if mark is not None:
        since = from_text(mark.data["alive_at"])
        gone_s = (now - since).total_seconds()
        if 0 <= gone_s < MARK_EVERY_S and not started:
            return
        if gone_s > (0 if started else _ABSENT_AFTER_S):
            await _extend(services, since, now)
    version = 0 if mark is None else mark.version
    await services.documents.commit([write(MARK, version, {"alive_at": to_text(now)})])


async def _extend(services: Services, since: datetime, now: datetime) -> None:
    cursor: str | None = None
    while True:
        page = await services.documents.query("runs", order=[Order("check_at")], limit=_PAGE, cursor=cursor)
        writes = _writes(services, page.documents, since, now)
        if writes:
            try:
                await services.documents.commit(writes)
            except Conflict:
                continue  # a run of the page has moved; one that ended meanwhile must not be reserved again
        if page.cursor is None:
            return
        cursor = page.cursor


def _writes(services: Services, runs: Sequence[Document], since: datetime, now: datetime) -> list[Write]:
    """Return writes that move deadlines and reservations of open runs, and the time left to end steps of others."""
    writes: list[Write] = []
    reserved: defaultdict[str, dict[FieldPath, Any]] = defaultdict(dict)
    for document in runs:
        try:
            moved = _moved(services, document, since, now, reserved)
        except (KeyError, TypeError, ValueError) as error:  # one that cannot be read does not block the others
            logger.warning("%s: its deadline could not be moved: %r", document.path, error)
            continue
        if moved is not None:
            writes.append(moved)
    return [*writes, *(Patch(path, fields) for path, fields in reserved.items())]


def _moved(
    services: Services, document: Document, since: datetime, now: datetime, reserved: Mapping[str, dict[FieldPath, Any]]
) -> Replace | None:
    """Return the write that moves a run's deadline, and add its places to those that are `reserved` by path."""
    run = Run.from_data(document.data)
    begun = max(since, run.deadline_set_at or run.created_at)
    if begun >= now:
        return None
    moved = {"deadline_set_at": to_text(now)}
    if not run.terminal:
        deadline_at = run.deadline_at + (now - begun)
        moved["deadline_at"] = to_text(deadline_at)
        until = to_text(reserved_until(services, deadline_at))
        if run.queue is None:  # a queued run holds no place yet
            reserved[budget_path(run)]["active", run.run_id] = until
            for path in run.caps:
                reserved[path]["held", run.run_id] = until
    return Replace(document.path, document.version, {**document.data, **moved})
