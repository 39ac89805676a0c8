"""An event loop whose time jumps: hours pass in milliseconds, and the same seed gives the same order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)


class Stuck(AssertionError):
    """Nothing is left that could ever happen, yet a task still waits."""


class _NoSelector(selectors.BaseSelector):
    """Never sleeps: waiting moves the loop's clock."""

    def __init__(self) -> None:
        self.loop: VirtualLoop | None = None
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("no timer and no ready task")
        assert self.loop is not None
        self.loop.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        selector = _NoSelector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.now_s


class VirtualClock:
    """`Clock` on the loop's time, which begins at `start`."""

    def __init__(self, loop: VirtualLoop, start: datetime = EPOCH) -> None:
        self._loop = loop
        self._start = start

    def skewed(self, seconds: float) -> VirtualClock:
        """Return the same clock, that far ahead."""
        return VirtualClock(self._loop, self._start + timedelta(seconds=seconds))

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.now_s)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
