"""Answers that are found out at most once a second: anyone may ask for them, as often as they like."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from convergence.config.loader import LoadedPipeline
from convergence.config.sources import PipelineSource
from convergence.engine.schedules.views import oldest_due, queue_views
from convergence.engine.services import Services
from convergence.errors import ConfigErrors, Transient

T = TypeVar("T")
KEPT_S: Final = 1.0


class Load(NamedTuple):
    """How many runs wait, and since when the oldest undecided firing is due."""

    waiting: int
    lag_s: float


class Fresh(Generic[T]):
    """The last answer, for as long as it is fresh. Callers that come together share one look."""

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._lock = asyncio.Lock()
        self.kept_until = 0.0
        self._answers: list[T] = []

    async def get(self) -> T:
        """Return the answer. Raises what the look raises, which is not kept."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            if not self._answers or loop.time() >= self.kept_until:
                self._answers = [await self._look()]
                self.kept_until = loop.time() + KEPT_S
            return self._answers[0]


async def find_trouble(services: Services) -> str | None:
    """Return why this process cannot do its work, None when all is well. Raises what the configs raise."""
    reason = await services.trouble()
    if reason is not None:
        return reason
    try:
        await services.documents.get("orgs/readiness")
    except Transient as error:
        return str(error)
    services.catalog.names()
    return None


async def find_pipelines(catalog: PipelineSource) -> list[LoadedPipeline]:
    """Return every pipeline that can be run; `validate` reports broken files."""
    found: list[LoadedPipeline] = []
    for name in catalog.names():
        try:
            found.append(catalog.get(name))
        except ConfigErrors:
            continue
    return found


async def find_load(services: Services) -> Load:
    """Return what waits, in the queues that `queue_views` shows."""
    waiting = sum(each["waiting"] for each in await queue_views(services))
    due_at = await oldest_due(services)
    lag_s = 0.0 if due_at is None else max(0.0, (services.clock.now() - due_at).total_seconds())
    return Load(waiting, lag_s)
