"""30,000 schedules due in the same minute, and a look of the reconciler at 10,000 active runs.

Each once on SQLite as it is, and once where every call takes 10 ms more, as a store behind a network does.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.domain.records import changed
from convergence.domain.schedule import Timing
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.reconcile import reconcile
from convergence.engine.schedules.edit import new_schedule
from convergence.engine.schedules.fire import fire_due
from convergence.engine.services import Services
from convergence.engine.store import require_run
from convergence.ports.bus import Message
from convergence.ports.documents import Create, Document, Documents, Page, Write
from convergence.tenants.orgs import Org
from tests.bench import engine

SCHEDULES: Final = 30_000
RUNS: Final = 10_000
ORGS: Final = 1_000
AFTER_S: Final = 0.01
PIPELINE: Final = "bench/shape/one"


class Took(NamedTuple):
    """Seconds by the clock and of the processor, calls of the store and writes in them, and messages published."""

    clock_s: float
    own_s: float
    calls: int
    writes: int
    messages: int = 0


class CountedMessages:
    """A bus without subscribers: what is measured beside it is the tick, not the runs that it starts."""

    def __init__(self) -> None:
        self.count = 0

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Count the messages."""
        self.count += len(messages)


class SlowDocuments:
    """Documents whose every call takes a while longer."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.calls = 0
        self.writes = 0

    async def get(self, path: str) -> Document | None:
        """Return the document, or None."""
        await self._wait()
        return await self._documents.get(path)

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        """Return one entry for each path."""
        await self._wait()
        return await self._documents.get_many(paths)

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        """Apply all writes or none."""
        self.writes += len(writes)
        await self._wait()
        return await self._documents.commit(writes)

    async def query(self, collection: str, **asked: Any) -> Page:
        """Return a page."""
        await self._wait()
        return await self._documents.query(collection, **asked)

    async def count(self, collection: str, **asked: Any) -> int:
        """Return how many there are."""
        await self._wait()
        return await self._documents.count(collection, **asked)

    async def _wait(self) -> None:
        self.calls += 1
        await asyncio.sleep(AFTER_S)


def schedules(count: int = SCHEDULES) -> dict[str, Any]:
    """Return seconds to expand all due schedules, on SQLite and with 10 ms a call, the calls and the messages.

    `own` is processor time, of all threads: what the clock shows beyond it is waiting, for the store or for others.
    `with_runs` is the slow store again, in a process that also admits and runs the runs while the tick makes more.
    """
    quick, slow = asyncio.run(_fire(count, slow=False)), asyncio.run(_fire(count, slow=True))
    with_runs = asyncio.run(_fire(count, slow=True, with_runs=True))
    return {
        "shape": "schedule",
        "schedules": count,
        "sqlite_s": round(quick.clock_s, 1),
        "sqlite_own_s": round(quick.own_s, 1),
        "slow_store_s": round(slow.clock_s, 1),
        "slow_store_own_s": round(slow.own_s, 1),
        "with_runs_s": round(with_runs.clock_s, 1),
        "with_runs_own_s": round(with_runs.own_s, 1),
        "calls": slow.calls,
        "writes": slow.writes,
        "messages": slow.messages,
        "peak_rss_mib": engine.peak_rss_mib(),
    }


def runs(count: int = RUNS) -> dict[str, Any]:
    """Return seconds of a pass over all active runs, on SQLite and with 10 ms a call; see `schedules`."""
    quick, slow = asyncio.run(_reconcile(count, slow=False)), asyncio.run(_reconcile(count, slow=True))
    return {
        "shape": "reconcile",
        "runs": count,
        "sqlite_s": round(quick.clock_s, 1),
        "sqlite_own_s": round(quick.own_s, 1),
        "slow_store_s": round(slow.clock_s, 1),
        "slow_store_own_s": round(slow.own_s, 1),
        "slow_store_runs_per_s": round(count / slow.clock_s),
        "calls": slow.calls,
        "peak_rss_mib": engine.peak_rss_mib(),
    }


async def _fire(count: int, *, slow: bool, with_runs: bool = False) -> Took:
    with tempfile.TemporaryDirectory() as folder:
        async with _opened(Path(folder)) as opened:
            services = opened.services
            now = services.clock.now()
            await _orgs(services, now)
            made = [_schedule(services, f"org{number % ORGS}", f"s{number}", now) for number in range(count)]
            for at in range(0, count, 400):
                await services.documents.commit([Create(each.path, each.to_data()) for each in made[at : at + 400]])
            documents, bus = SlowDocuments(services.documents), CountedMessages()
            working = replace(services, documents=documents) if slow else services
            working = working if with_runs else replace(working, bus=bus)
            began, used = time.perf_counter(), time.process_time()
            fired = 0
            while fired < count:
                ticked = await fire_due(working)
                fired += ticked.fired
                assert not ticked.conflicts, "one tick is alone"
            took = Took(
                time.perf_counter() - began, time.process_time() - used, documents.calls, documents.writes, bus.count
            )
            assert await services.documents.count("runs") == count
            return took


async def _reconcile(count: int, *, slow: bool) -> Took:
    with tempfile.TemporaryDirectory() as folder:
        async with _opened(Path(folder)) as opened:
            services, plain = opened.services, opened.services.documents
            await services.orgs.create(_org("org0", services.clock.now()))
            first = await dispatch(services, RunRequest(org="org0", pipeline=PIPELINE))
            run = (await require_run(services, "org0", first.run_id)).run
            plan = await plain.get(f"{run.path}/plan/0")
            assert plan is not None
            due = changed(run, check_at=services.clock.now() - timedelta(seconds=1))
            for at in range(0, count, 200):
                writes: list[Write] = []
                for number in range(at, min(count, at + 200)):
                    copy = changed(due, run_id=f"run_{number}")
                    path = f"runs/{copy.run_id}"
                    data = {**copy.to_data(), "run_id": copy.run_id}
                    writes += [Create(path, data), Create(f"{path}/plan/0", plan.data)]
                await plain.commit(writes)
            documents = SlowDocuments(plain)
            working = replace(services, documents=documents) if slow else services
            began, used = time.perf_counter(), time.process_time()
            looked_at = await reconcile(working)
            assert looked_at >= count
            return Took(time.perf_counter() - began, time.process_time() - used, documents.calls, documents.writes)


def _opened(folder: Path) -> Any:
    root = engine.configs(folder)
    return embedded(EmbeddedOptions(data_dir=folder / "data", configs_dir=root), "bench")


async def _orgs(services: Services, now: datetime) -> None:
    for number in range(ORGS):
        await services.orgs.create(_org(f"org{number}", now))


def _org(slug: str, now: datetime) -> Org:
    limits = Limits(daily=1_000_000, monthly=1_000_000, concurrent=100_000)
    return Org(slug=slug, name=slug, status="ACTIVE", limits=limits, created_at=now)


def _schedule(services: Services, org: str, name: str, now: datetime) -> Any:
    timing = Timing(cron="0 2 * * *")
    made = new_schedule(services, org=org, pipeline=PIPELINE, provider="bench", timing=timing, name=name)
    slot = now - timedelta(seconds=1)
    return changed(made, slot=slot, due_at=slot)
