"""A fresh process that runs one step that does nothing, and ends: imports, files, locks and all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from convergence.bootstrap import EmbeddedOptions, embedded
from tests.bench import engine


def measure(rounds: int = 5) -> dict[str, Any]:
    """Return the median wall time of the whole process, and its ratio to `python -c pass`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = engine.configs(folder)
        asyncio.run(_prepare(folder, root))
        command = [
            str(Path(sys.executable).parent / "convergence"),
            "--data-dir",
            str(folder / "data"),
            "--configs",
            str(root),
        ]
        run = [*command, "run", "org0", "bench/shape/one", "--json"]
        seconds = _median(run, rounds)
        floor = _median([sys.executable, "-c", "pass"], rounds)
    return {
        "shape": "cold",
        "steps": 1,
        "seconds": round(seconds, 3),
        "floor_s": round(floor, 3),
        "ratio": round(seconds / floor, 1),
    }


async def _prepare(folder: Path, root: Path) -> None:
    async with embedded(EmbeddedOptions(data_dir=folder / "data", configs_dir=root), "bench") as installation:
        await engine.found(installation)


def _median(command: list[str], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):  # the first fills the file caches
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return sorted(times[1:])[rounds // 2]
