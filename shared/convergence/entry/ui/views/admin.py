"""What the operator sees of all orgs: who they are, what waits, whether the system keeps up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.times import from_text
from convergence.engine.dead_letters.find import PAGE_MAX, Filter, count_causes
from convergence.engine.schedules.store import SCHEDULES
from convergence.engine.schedules.views import QueueView, queue_views
from convergence.engine.services import Services
from convergence.entry.api.runtime import Runtime
from convergence.errors import ConvergenceError
from convergence.ports.documents import Order
from convergence.tenants.orgs import Org

PAGE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminPage:
    """The page. `lag_s`: how long the schedule that is due first has not been decided; `trouble`: why nothing works."""

    orgs: Sequence[Org]
    count: int
    page: int
    pages: int
    queues: Sequence[QueueView]
    lag_s: float
    trouble: str
    streams: int
    dead_letters: str  # how many are open, in words


async def admin_page(at: Runtime, *, page: int, text: str) -> AdminPage:
    """Return the page of the operator."""
    services = at.services
    slugs = [slug for slug in await services.orgs.slugs() if text.lower() in slug]
    pages = max(1, -(-len(slugs) // PAGE))
    page = min(page, pages)
    shown = slugs[(page - 1) * PAGE : page * PAGE]
    return AdminPage(
        orgs=[await services.orgs.get(slug) for slug in shown],
        count=len(slugs),
        page=page,
        pages=pages,
        queues=await queue_views(services),
        lag_s=await scheduler_lag(services),
        trouble=await _trouble(at),
        streams=at.streams.open,
        dead_letters=await _open_letters(services),
    )


async def scheduler_lag(services: Services) -> float:
    """Return for how many seconds the schedule that is due first has not been decided; 0 when none is due."""
    found = await services.documents.query(SCHEDULES, order=[Order("due_at")], limit=1)
    if not found.documents:
        return 0.0
    return max(0.0, (services.clock.now() - from_text(found.documents[0].data["due_at"])).total_seconds())


async def _open_letters(services: Services) -> str:
    """Return how many dead letters of all orgs are open among the latest ones."""
    counted = await count_causes(services, Filter(state=DeadLetterState.OPEN), most=PAGE_MAX)
    return f"{counted.total:,} open" if counted.complete else f"{counted.total:,} or more open"


async def _trouble(at: Runtime) -> str:
    try:
        return await at.trouble.get() or ""
    except ConvergenceError as error:
        return str(error)
