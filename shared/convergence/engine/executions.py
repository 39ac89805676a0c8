"""Who is at work in this process: many deliveries beside each other, or one alone (design: docs/engine.md §13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Executions:
    """Admits deliveries concurrently; one that has to be alone waits for the others to end and keeps new ones out.

    The process counts as up from its first delivery on.
    """

    def __init__(self) -> None:
        self._began_s: float | None = None  # on the event loop's clock, which is never set
        self._beside = 0
        self._lone = 0  # that are alone, or wait to be
        self._turn = asyncio.Lock()
        self._empty = asyncio.Event()
        self._open = asyncio.Event()

    def up_s(self) -> float:
        """Return for how many seconds this process has been up."""
        now_s = asyncio.get_running_loop().time()
        if self._began_s is None:
            self._began_s = now_s
        return now_s - self._began_s

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Be at work beside others, as soon as no delivery is alone or waits to be."""
        while self._lone:
            self._open.clear()
            await self._open.wait()
        self._beside += 1
        if self._began_s is None:
            self.up_s()
        try:
            yield
        finally:
            self._beside -= 1
            if not self._beside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self, wait_s: float) -> AsyncIterator[bool]:
        """Be alone at work: True when the others ended within `wait_s` seconds, and none begins until this one ends."""
        self._lone += 1
        try:
            granted = await self._granted(wait_s)
            try:
                yield granted
            finally:
                if granted:
                    self._turn.release()
        finally:
            self._lone -= 1
            if not self._lone:
                self._open.set()

    async def _granted(self, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                await self._turn.acquire()
                try:
                    while self._beside:
                        self._empty.clear()
                        await self._empty.wait()
                except BaseException:
                    self._turn.release()
                    raise
        except TimeoutError:
            return False
        return True
