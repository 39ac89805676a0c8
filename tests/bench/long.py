"""Ten thousand runs in one process: neither throughput nor memory may drift."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from tests.bench import engine

STEPS = 3
AT_ONCE = 20


def measure(runs: int = 10_000, tenth: int = 1_000) -> dict[str, Any]:
    """Return throughput at the beginning and at the end, and memory after the first tenth and at the end."""
    with tempfile.TemporaryDirectory() as name:
        marks, seconds = asyncio.run(_live(Path(name), runs, tenth))
    rates = [tenth * STEPS / (after - before) for (before, _), (after, _) in pairwise(marks)]
    first, last = sorted(rates[:3])[1], sorted(rates[-3:])[1]
    return {
        "shape": "long",
        "runs": runs,
        "steps": runs * STEPS,
        "seconds": round(seconds, 2),
        "steps_per_s": round(runs * STEPS / seconds),
        "ms_per_step": round(seconds * 1000 / (runs * STEPS), 4),
        "end_to_beginning": round(last / first, 2),
        "rss_mib_first_tenth": marks[1][1],
        "rss_mib_end": marks[-1][1],
        "peak_rss_mib": engine.peak_rss_mib(),
    }


async def _live(folder: Path, runs: int, tenth: int) -> tuple[list[tuple[float, int]], float]:
    options = EmbeddedOptions(data_dir=folder / "data", configs_dir=engine.configs(folder))
    async with embedded(options, "bench") as installation:
        await engine.found(installation)
        await installation.worker.start()
        numbers = iter(range(runs))
        marks = [(time.perf_counter(), rss_mib())]
        done = count(1)
        workers = (_worker(installation, numbers, done, marks, tenth) for _ in range(AT_ONCE))
        started = time.perf_counter()
        await asyncio.gather(*workers)
        return marks, time.perf_counter() - started


async def _worker(
    installation: Embedded, numbers: Iterator[int], done: Iterator[int], marks: list[tuple[float, int]], tenth: int
) -> None:
    for number in numbers:
        await engine.one(installation, "three", f"org{number % engine.ORGS}")
        if next(done) % tenth == 0:
            marks.append((time.perf_counter(), rss_mib()))


def rss_mib() -> int:
    """Return the memory that this process has now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 2**20
