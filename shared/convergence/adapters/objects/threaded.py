"""The common part of the vendors' stores: a blocking client, created on first use, called on a few threads."""

from __future__ import annotations

import asyncio
import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from convergence.errors import ConvergenceError, StepFailed
from convergence.ports.object_store import StoredObject

T = TypeVar("T")
CALLS_AT_ONCE: Final = 4


class ThreadedStore(ABC):
    """One bucket or container; `shown` is its address in messages, such as `s3://exports`."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._client: Any = None
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)
        self._making = asyncio.Lock()

    async def list(self, prefix: str, *, most: int) -> builtins.list[StoredObject]:
        """Return the files; see the port."""
        return await self._call(lambda client: self._list(client, prefix, most), f"{self._shown}/{prefix}")

    async def fetch(self, name: str, into: Path, *, bytes_max: int) -> StoredObject:
        """Download a file; see the port."""
        return await self._call(lambda client: self._fetch(client, name, into, bytes_max), f"{self._shown}/{name}")

    async def put(self, name: str, content: Path) -> None:
        """Upload a file; see `WritableStore`."""
        await self._call(lambda client: self._put(client, name, content), f"{self._shown}/{name}")

    async def remove(self, name: str) -> None:
        """Remove a file; see `WritableStore`."""
        await self._call(lambda client: self._remove(client, name), f"{self._shown}/{name}")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    @abstractmethod
    async def _open(self) -> Any:
        """Make the vendor's client."""

    @abstractmethod
    def _list(self, client: Any, prefix: str, most: int) -> builtins.list[StoredObject]:
        """List on a thread."""

    @abstractmethod
    def _fetch(self, client: Any, name: str, into: Path, bytes_max: int) -> StoredObject:
        """Download on a thread."""

    @abstractmethod
    def _put(self, client: Any, name: str, content: Path) -> None:
        """Upload on a thread; the vendor shows a file only once it is complete."""

    @abstractmethod
    def _remove(self, client: Any, name: str) -> None:
        """Remove on a thread."""

    @abstractmethod
    def _reported(self, error: Exception, shown: str) -> ConvergenceError | None:
        """Return the product's error for the vendor's; None for an error that is not the vendor's."""

    async def _call(self, work: Callable[[Any], T], shown: str) -> T:
        async with self._turns:
            try:
                async with self._making:
                    if self._client is None:
                        self._client = await self._open()
                return await asyncio.to_thread(work, self._client)
            except ConvergenceError:
                raise
            except Exception as error:
                reported = self._reported(error, shown)
                if reported is None:
                    raise
                raise reported from error

    def _too_many(self, prefix: str, most: int) -> StepFailed:
        return StepFailed(f"{self._shown}/{prefix} has more than {most:,} files: name a more specific path")

    def _too_large(self, name: str, size: int, bytes_max: int) -> StepFailed:
        return StepFailed(f"{self._shown}/{name} has {size:,} bytes, more than {bytes_max:,}")


def require(module: str, extra: str, what: str) -> None:
    """Check that a vendor's client is installed. Raises `StepFailed` with the extra to install."""
    try:
        import_module(module)
    except ImportError:
        raise StepFailed(f"{what}: install convergence-pipelines[{extra}]") from None
