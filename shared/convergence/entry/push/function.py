"""A deployed function as an ASGI application, nested in the one that functions-framework creates."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from convergence.domain.trace import trace_of, working_on
from convergence.entry.push.app import PREFIX
from convergence.entry.push.concurrency_limit import ConcurrencyLimit
from convergence.errors import ConvergenceError

logger = logging.getLogger(__name__)
_WARM_S: Final = 5.0
# BigQuery's client and the look-up of host names wait on threads: a query up to a minute for each look. Python gives a
# machine of one CPU five of them: five slow queries would hold up every other request. A thread that is not used is not
# started.
THREADS_EACH: Final = 4  # for each request at a time: the pages of the dashboard ask several questions at once
_OUTER: Final = ("app", "endpoint", "path_params", "route", "router")  # left by the framework's own routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a function is made of. `api` answers requests that are not deliveries; None: they get a 404.

    `warm` makes the first calls of the clients, which take seconds in a cold instance.
    """

    concurrency: ConcurrencyLimit
    push: ASGIApp
    api: ASGIApp | None
    warm: Callable[[], Awaitable[None]]


class Function:
    """Built from `parts` at its first request: functions-framework imports before it forks, and has no start hook.

    The startup probe asks `/health`, so that an instance is warm before it gets work.
    """

    def __init__(self, parts: Callable[[], Parts]) -> None:
        self._make = parts
        self._parts: Parts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warmed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        parts = self._built()
        inner = {key: value for key, value in scope.items() if key not in _OUTER}
        with working_on(trace_of(Headers(scope=scope)), {}):
            if scope["path"] == "/health" and not self._warmed:
                self._warmed = True
                await _warm(parts)
            delivery = scope["path"].startswith(PREFIX + "/")
            app = parts.push if parts.api is None or delivery else parts.api
            await app(inner, receive, send)

    def _built(self) -> Parts:
        """Return the parts of the running loop; clients of another loop cannot be used."""
        loop = asyncio.get_running_loop()
        if self._parts is None or self._loop is not loop:
            self._parts, self._loop, self._warmed = self._make(), loop, False
            loop.set_default_executor(ThreadPoolExecutor(THREADS_EACH * self._parts.concurrency.limit, "waiting"))
            drain_on_sigterm(self._parts.concurrency, loop)
        return self._parts


async def _warm(parts: Parts) -> None:
    try:
        async with asyncio.timeout(_WARM_S):
            await parts.warm()
    except (ConvergenceError, TimeoutError) as error:
        logger.warning("the warm-up call failed, the instance starts anyway: %s", error)


def drain_on_sigterm(concurrency: ConcurrencyLimit, loop: asyncio.AbstractEventLoop) -> None:
    """Drain at SIGTERM, then call the previous signal handler, with which the server stops accepting."""
    if threading.current_thread() is not threading.main_thread():
        return  # a test's server: signals reach the main thread only
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before):
        return  # no server to stop

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(concurrency.drain)
        before(number, frame)

    signal.signal(signal.SIGTERM, on_sigterm)
