"""Commits that are slow, and at which some processes die: before the store has them, or after."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any

from convergence.ports.documents import Write
from tests.unit.engine.conftest import Engine


class Died(Exception):
    """A process died."""


class HostileCommits:
    """In place of an engine's commits, `commit`. Those of mortal tasks take up to `slow_s`, of others `others_s`."""

    def __init__(
        self,
        engine: Engine,
        random: Random,
        commit: Callable[[Sequence[Write]], Awaitable[list[int]]],
        *,
        slow_s: float,
        others_s: float,
        death: float,
    ) -> None:
        self._engine, self._random, self._commit = engine, random, commit
        self._slow_s, self._others_s, self._death = slow_s, others_s, death
        self._mortal: set[asyncio.Task[Any] | None] = set()
        self.died = False  # after a commit that the store has

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin work that dies at any of its commits."""
        task = asyncio.ensure_future(work)
        self._mortal.add(task)
        return task

    async def __call__(self, writes: Sequence[Write]) -> list[int]:
        """Commit. Raises `Died`."""
        mortal = asyncio.current_task() in self._mortal
        await self._engine.clock.sleep(self._random.random() * (self._slow_s if mortal else self._others_s))
        dies = mortal and self._random.random() < self._death
        if dies and self._random.random() < 0.5:
            raise Died
        versions = await self._commit(writes)
        if dies:
            self.died = True
            raise Died
        return versions
