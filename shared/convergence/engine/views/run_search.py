"""Runs of an org by more than one property, page by page: what a history with filters shows.

One property goes through an index; the others are compared while documents are read, at most `LOOKED_MAX` of them a
page, so that a filter that matches little costs no more than one that matches all. `cursor` then continues the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.errors import InvalidInput
from convergence.ports.documents import Order, Page, Where

LOOKED_MAX: Final = 500
_INDEXED: Final = ("pipeline", "provider", "status")  # the first that is asked for is looked up


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is searched for; None matches all. `since` and `until` bound the creation, the end not included.

    `outcome`: the status as it is shown, of completed runs with or without warnings.
    """

    pipeline: str | None = None
    provider: str | None = None
    status: str | None = None
    trigger: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, run: Run) -> bool:
        """Return whether a run has every property that is asked for."""
        asked = ((self.pipeline, run.pipeline), (self.provider, run.provider), (self.status, run.status.value))
        more = ((self.trigger, run.trigger), (self.outcome, run.outcome))
        return all(expected in (None, has) for expected, has in (*asked, *more))


@dataclass(frozen=True, slots=True)
class Found:
    """A page of runs, latest first; `cursor` is None when nothing is left to look at."""

    runs: Sequence[Run]
    cursor: str | None


async def search_runs(
    services: Services, org: str, search: Search, *, limit: int = 50, cursor: str | None = None
) -> Found:
    """Return the latest runs of `org` that match. Raises `InvalidInput` for an unknown cursor."""
    where = [Where("org", "==", org)]
    indexed = next((name for name in _INDEXED if getattr(search, name) is not None), None)
    if indexed is not None:
        where.append(Where(indexed, "==", getattr(search, indexed)))
    if search.since is not None:
        where.append(Where("created_at", ">=", to_text(search.since)))
    if search.until is not None:
        where.append(Where("created_at", "<", to_text(search.until)))
    found: list[Run] = []
    looked = 0
    while True:
        page = await _page(services, where, limit, cursor)
        found += [run for run in map(services.cache.runs.of, page.documents) if search.matches(run)]
        looked, cursor = looked + len(page.documents), page.cursor
        if cursor is None or len(found) >= limit or looked >= LOOKED_MAX:
            return Found(found, cursor)


async def _page(services: Services, where: Sequence[Where], limit: int, cursor: str | None) -> Page:
    order = [Order("created_at", descending=True)]
    try:
        return await services.documents.query("runs", where=where, order=order, limit=limit, cursor=cursor)
    except ValueError as error:
        raise InvalidInput("the cursor is unknown; leave it out to begin again") from error
