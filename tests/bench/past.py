"""An installation with a past: 100,000 finished runs, and a restart that finds 20,000 unfinished ones.

What a look at the runs costs must not depend on how many have ended. The floor is one finished run read by its id from
the file. `/health` is asked all the time while the restarted server takes up what was left.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.reconcile import next_check
from convergence.engine.services import Services
from convergence.engine.views.quota import quota_view
from convergence.engine.views.runs import history
from tests.bench import api, engine

FINISHED: Final = 100_000
UNFINISHED: Final = 20_000
_REPEATS: Final = 20
_INSERT: Final = "INSERT INTO documents VALUES (?, ?, ?, ?)"


def measure(finished: int = FINISHED, unfinished: int = UNFINISHED) -> dict[str, Any]:
    """Return milliseconds of each look, seconds until a restarted server answers, and its slowest answers."""
    with tempfile.TemporaryDirectory() as name:
        root = engine.configs(Path(name))
        asyncio.run(fill(root, finished=finished, unfinished=0))
        looks = asyncio.run(look(root))
        asyncio.run(fill(root, finished=0, unfinished=unfinished))
        return {"shape": "past", "finished": finished, **looks, "unfinished": unfinished, **_restart(root)}


async def fill(root: Path, *, finished: int, unfinished: int) -> None:
    """Copy one finished and one unfinished run, as the engine stores them, with other ids and times."""
    options = EmbeddedOptions(data_dir=root / "data", configs_dir=root)
    async with embedded(options, "bench") as opened:
        if await opened.services.documents.get("orgs/org0") is None:
            await engine.found(opened)
        await opened.worker.start()
        ended = await dispatch(opened.services, RunRequest(org="org0", pipeline="bench/shape/one"))
        await opened.worker.wait("org0", ended.run_id)
    async with embedded(options, "bench") as opened:  # without its worker: the run stays as it was accepted
        begun = await dispatch(opened.services, RunRequest(org="org0", pipeline="bench/shape/one"))
    db = sqlite3.connect(root / "data" / "state.db")
    with db:
        _copy(db, ended.run_id, "past", finished)
        _copy(db, begun.run_id, "left", unfinished)
    db.close()


def _copy(db: sqlite3.Connection, run_id: str, name: str, count: int) -> None:
    run = Run.from_data(json.loads(*db.execute("SELECT body FROM documents WHERE id = ?", (run_id,)).fetchone()))
    below = db.execute(
        "SELECT collection, id, body FROM documents WHERE collection LIKE ?", (f"runs/{run_id}/%",)
    ).fetchall()
    for number in range(count):
        copy = f"{name}-{number:06d}"
        created = to_text(run.created_at - timedelta(milliseconds=number + 1))
        data = {**run.to_data(), "run_id": copy, "created_at": created}
        db.execute(_INSERT, ("runs", copy, 1, json.dumps(data)))
        for collection, document, body in below:
            db.execute(_INSERT, (collection.replace(run_id, copy), document, 1, body.replace(run_id, copy)))


async def look(root: Path) -> dict[str, float]:
    """Return the median milliseconds of each look at an installation, and of the floor."""
    async with embedded(EmbeddedOptions(data_dir=root / "data", configs_dir=root), "bench") as opened:
        services = opened.services
        org = await services.orgs.get("org0")
        looks: dict[str, Callable[[], Awaitable[Any]]] = {
            "due": lambda: next_check(services),
            "failed": lambda: history(services, "org0", status="failed"),
            "latest": lambda: history(services, "org0"),
            "provider": lambda: history(services, "org0", provider="other"),
            "quota": lambda: quota_view(services, org),
        }
        found = {f"{name}_ms": await _median_ms(each) for name, each in looks.items()}
        return {"floor_ms": await _floor_ms(services), **found}


async def _floor_ms(services: Services) -> float:
    numbers = iter(range(_REPEATS))
    return await _median_ms(lambda: services.documents.get(f"runs/past-{next(numbers) * 37:06d}"))


async def _median_ms(work: Callable[[], Awaitable[Any]]) -> float:
    taken = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - started)
    return round(sorted(taken)[_REPEATS // 2] * 1000, 3)


def _restart(root: Path) -> dict[str, float]:
    """Start a server on what was left; ask `/health` for as long as runs are being taken up."""
    started = time.perf_counter()
    with api.process(root) as server:
        assert server.stdout is not None
        line = server.stdout.readline().decode()
        serving_s = time.perf_counter() - started
        with httpx.Client(base_url=line.split()[1].removesuffix("/api/v1"), timeout=120) as client:
            slowest = []
            while time.perf_counter() - started < serving_s + 10:
                asked = time.perf_counter()
                client.get("/health").raise_for_status()
                slowest.append(time.perf_counter() - asked)
    slowest.sort()
    return {
        "serving_s": round(serving_s, 2),
        "health_p99_ms": round(slowest[int(len(slowest) * 0.99)] * 1000, 1),
        "health_max_ms": round(slowest[-1] * 1000, 1),
    }
