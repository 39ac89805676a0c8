"""The time limit of a job: beyond it the job is interrupted, repeatedly until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from convergence.adapters.local.warehouse.job import Job

_AGAIN_S: Final = 1.0  # DuckDB forgets an interruption that arrives right before a statement begins


@contextmanager
def limited(job: Job, limit_s: float | None) -> Iterator[None]:
    """Let the job run for `limit_s` seconds at most while this event loop waits for it inside."""
    if limit_s is None:
        yield
        return
    loop = asyncio.get_running_loop()
    watch: asyncio.TimerHandle

    def look() -> None:
        nonlocal watch
        left_s = job.seconds_left(limit_s)
        if left_s <= 0:
            job.expire(limit_s)
        watch = loop.call_later(left_s if left_s > 0 else _AGAIN_S, look)

    watch = loop.call_later(limit_s, look)
    try:
        yield
    finally:
        watch.cancel()
