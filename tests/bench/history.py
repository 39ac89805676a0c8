"""100,000 runs in the store: how long a page of the history takes, a start, and the removal of them all."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.bootstrap.embedded import Embedded, EmbeddedOptions, embedded
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.retention.sweep import sweep
from convergence.engine.views.runs import history
from convergence.ports.documents import Create, Write
from tests.bench import engine

RUNS: Final = 100_000
ORGS: Final = 20
STEPS: Final = 3
EXPIRED: Final = 0.67  # of them: 90 days are stored, 30 are kept
LOOKS: Final = 300


def measure(runs: int = RUNS) -> dict[str, Any]:
    """Return milliseconds at the 95th percentile, seconds to start, sizes before and after."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), runs))


async def _measure(folder: Path, runs: int) -> dict[str, Any]:
    options = EmbeddedOptions(data_dir=folder)
    async with embedded(options, "bench") as opened:
        await _fill(opened, runs)
    before = _mib(folder)
    began = time.perf_counter()
    async with embedded(options, "bench") as opened:
        await opened.worker.start()
        start_s = time.perf_counter() - began
        pages = await _pages(opened)
        sweeping = asyncio.ensure_future(_swept(opened))
        looks = await _looks(opened, sweeping, runs)
        swept_s, removed = await sweeping
        reused = _mib(folder)
        opened.documents.compact()
        return {
            "shape": "history",
            "runs": runs,
            "start_s": round(start_s, 2),
            "history_p95_ms": _p95(pages),
            "status_p95_ms_while_sweeping": _p95(looks),
            "removed_documents_per_s": round(removed / swept_s),
            "state_mib": [before, reused, _mib(folder)],
            "peak_rss_mib": engine.peak_rss_mib(),
        }


async def _fill(opened: Embedded, runs: int) -> None:
    now = opened.services.clock.now()
    documents = opened.services.documents
    assert isinstance(documents, SqliteDocuments)
    writes: list[Write] = []
    for number in range(runs):
        at = now - timedelta(days=90) * (1 - number / runs)
        run = changed(_RUN, run_id=f"run_{number:020d}", org=f"org{number % ORGS}", created_at=at, finished_at=at)
        run = changed(run, expire_at=now if number < EXPIRED * runs else now + timedelta(days=30))
        writes.append(Create(run.path, run.to_data()))
        writes.append(Create(f"{run.path}/plan/0", {"steps": ["x" * 200] * STEPS}))
        writes += [
            Create(f"{run.path}/steps/s{step}", {"step_id": f"s{step}", "status": "completed", "note": "x" * 300})
            for step in range(STEPS)
        ]
        if len(writes) >= 500:
            await documents.commit(writes)
            writes = []
    if writes:
        await documents.commit(writes)


async def _pages(opened: Embedded) -> list[float]:
    taken = []
    for number in range(LOOKS):
        began = time.perf_counter()
        await history(opened.services, f"org{number % ORGS}", limit=50)
        taken.append(time.perf_counter() - began)
    return taken


async def _swept(opened: Embedded) -> tuple[float, int]:
    began = time.perf_counter()
    swept = await sweep(opened.services)
    return time.perf_counter() - began, swept.documents


async def _looks(opened: Embedded, sweeping: asyncio.Future[Any], runs: int) -> list[float]:
    """Read a kept run's document again and again while others are removed."""
    taken: list[float] = []
    while not sweeping.done():
        began = time.perf_counter()
        await asyncio.sleep(0)  # as a request that has just arrived
        await opened.services.documents.get(f"runs/run_{runs - 1:020d}")
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.002)
    return taken


def _p95(taken: list[float]) -> float:
    return round(sorted(taken)[int(0.95 * len(taken))] * 1000, 2) if taken else 0.0


def _mib(folder: Path) -> int:
    return round(sum(file.stat().st_size for file in folder.glob("state.db*")) / 2**20)


_RUN: Final = Run(
    run_id="",
    org="",
    pipeline="openai/cost/usage_cost",
    pipeline_id="p",
    provider="openai",
    digest="d" * 40,
    request_digest="d" * 40,
    trigger="schedule",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    deadline_at=datetime(2026, 1, 1, tzinfo=UTC),
    check_at=None,
    status=RunStatus.COMPLETED,
    parameters={"start_date": "2026-01-01", "end_date": "2026-01-01"},
    transitions=[(to_text(datetime(2026, 1, 1, tzinfo=UTC)), RunStatus.RUNNING, "accepted")] * 3,
)
