"""The sandbox on a thread of this process, with a gate that stops it at a chosen request: a process that asks is
then known to be in the middle of that call."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convergence.sandbox import Sandbox
from convergence.sandbox.http import Request, Response
from tests.e2e.conftest import PATIENCE_S, until


class GatedSandbox(Sandbox):
    """Answers as the sandbox does, but keeps the first request for `stop_at` waiting until `release`."""

    def __init__(self) -> None:
        super().__init__()
        self._stop_at: str | None = None
        self._reached, self._released = threading.Event(), threading.Event()

    def stop_at(self, path: str) -> None:
        """Close the gate before a request whose path contains `path`."""
        self._reached.clear()
        self._released.clear()
        self._stop_at = path

    def wait_for(self, process: subprocess.Popen[Any], *, patience_s: float = PATIENCE_S) -> None:
        """Return when the process waits at the gate."""
        until(self._reached.is_set, process, f"it asks for {self._stop_at}", patience_s=patience_s)

    def release(self) -> None:
        """Open the gate."""
        self._stop_at = None
        self._released.set()

    def _handle(self, request: Request) -> Response:
        if self._stop_at is not None and self._stop_at in request.path:
            self._stop_at = None
            self._reached.set()
            self._released.wait(PATIENCE_S)
        return super()._handle(request)


@contextmanager
def listening() -> Iterator[tuple[GatedSandbox, str]]:
    """Give a sandbox that listens, and its base URL."""
    sandbox, loop = GatedSandbox(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield sandbox, asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(PATIENCE_S)
    finally:
        sandbox.release()
        asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
