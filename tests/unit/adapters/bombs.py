"""Answers that are small when sent and large when decoded."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

MIB = 2**20


def bomb(mib: int) -> bytes:
    """Return `mib` MiB of zeros, compressed without ever being in memory."""
    made = zlib.compressobj(9, wbits=31)
    return b"".join([made.compress(bytes(MIB)) for _ in range(mib)]) + made.flush()


def peak_mib(work: Callable[[], Any]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
