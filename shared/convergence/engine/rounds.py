"""Stored work that continues round by round: backfills, and replays of many dead letters.

Each has a document with `next_check_at`, the time of its next round, and moves by replacing the version that was read.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from convergence.domain.records import changed
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import Conflict, ConvergenceError
from convergence.ports.documents import Order, Replace, Where

logger = logging.getLogger(__name__)
_ATTEMPTS: Final = 8


class _Record(Protocol):
    @property
    def path(self) -> str: ...

    def to_data(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=_Record)


async def feed_each_due(
    services: Services, collection: str, feed: Callable[[Services, str], Awaitable[Any]], *, limit: int
) -> int:
    """Feed the first `limit` documents of a collection that are due; return how many."""
    now = services.clock.now()
    page = await services.documents.query(
        collection, where=[Where("next_check_at", "<=", to_text(now))], order=[Order("next_check_at")], limit=limit
    )
    for document in page.documents:
        try:
            await feed(services, document.path.removeprefix(f"{collection}/"))
        except Exception as error:  # one that cannot be fed does not block the others, or the queue
            unforeseen = None if isinstance(error, ConvergenceError) else error
            logger.warning("%s: %s", document.path, error, exc_info=unforeseen)
    return len(page.documents)


async def change_between_rounds(
    services: Services, read: Callable[[], Awaitable[tuple[R, int]]], edit: Callable[[R], R], name: str
) -> R:
    """Store the result of `edit` on a record, and check it soon; errors of `edit` reach the caller.

    Raises `Conflict` when others keep writing the record, `name`.
    """
    token, now = services.ids.new("t"), services.clock.now()
    for _ in range(_ATTEMPTS):
        record, version = await read()
        edited = changed(edit(record), token=token, updated_at=now, next_check_at=now, expire_at=None)
        try:
            await commit(services.documents, [Replace(edited.path, version, edited.to_data())], token)
        except Conflict:
            continue
        return edited
    raise Conflict(f"{name} is being changed by others; try again")
