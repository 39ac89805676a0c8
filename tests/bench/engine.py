"""Shapes of runs with steps that do nothing: what is left is the engine, with everything on."""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import yaml

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.tenants.orgs import Org
from tests.bench.floor import floor_ms_per_step

Synchronous = Literal["NORMAL", "FULL"]
ORGS = 10
_SCHEMAS = Path(__file__).parents[2] / "configs" / "system" / "schemas"


def pipeline(steps: list[dict[str, Any]]) -> str:
    """Return a pipeline of no-op steps as YAML."""
    head = {"pipeline_id": "{org_slug}-bench", "name": "Bench", "provider": "bench", "domain": "shape"}
    return yaml.safe_dump({**head, "steps": [{"ps_type": "generic.noop", **step} for step in steps]})


SHAPES = {
    "chain": pipeline([{"step_id": f"s{i}", "depends_on": [f"s{i - 1}"] if i else []} for i in range(100)]),
    "fan": pipeline(
        [
            {"step_id": "first"},
            *({"step_id": f"w{i}", "depends_on": ["first"]} for i in range(500)),
            {"step_id": "last", "depends_on": [f"w{i}" for i in range(500)]},
        ]
    ),
    "diamond": pipeline(
        [
            {"step_id": "a"},
            {"step_id": "b", "depends_on": ["a"]},
            {"step_id": "c", "depends_on": ["a"]},
            {"step_id": "d", "depends_on": ["b", "c"]},
        ]
    ),
    "one": pipeline([{"step_id": "s0"}]),
    "three": pipeline([{"step_id": f"s{i}", "depends_on": [f"s{i - 1}"] if i else []} for i in range(3)]),
}


def configs(folder: Path) -> Path:
    """Write the bench's pipelines and the schemas of the log tables below `folder`."""
    root = folder / "configs"
    (root / "bench" / "shape").mkdir(parents=True)
    shutil.copytree(_SCHEMAS, root / "system" / "schemas")
    for name, text in SHAPES.items():
        (root / "bench" / "shape" / f"{name}.yml").write_text(text)
    return root


async def found(installation: Embedded) -> None:
    """Create the orgs."""
    limits = Limits(daily=10**6, monthly=10**7, concurrent=10**4)
    for number in range(ORGS):
        now = installation.services.clock.now()
        org = Org(slug=f"org{number}", name="bench", status="ACTIVE", limits=limits, created_at=now)
        await installation.services.orgs.create(org)


async def one(installation: Embedded, shape: str, org: str = "org0") -> None:
    """Start a run and wait for its end."""
    run = await dispatch(installation.services, RunRequest(org=org, pipeline=f"bench/shape/{shape}"))
    ended = await installation.worker.wait(org, run.run_id, with_end_steps=False)
    assert ended.status == "completed", ended


async def chain(installation: Embedded) -> int:
    """100 steps in a row."""
    await one(installation, "chain")
    return 100


async def fan(installation: Embedded) -> int:
    """1 → 500 → 1."""
    await one(installation, "fan")
    return 502


async def many(installation: Embedded) -> int:
    """200 runs of a 4-step diamond, over ten orgs."""
    await asyncio.gather(*(one(installation, "diamond", f"org{number % ORGS}") for number in range(200)))
    return 800


def measure(
    shape: str, work: Callable[[Embedded], Awaitable[int]], synchronous: Synchronous = "NORMAL", rounds: int = 5
) -> dict[str, Any]:
    """Return the median round as one JSON-able record, with its ratio to the floor of the same run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        floor = floor_ms_per_step(folder, synchronous=synchronous)
        steps, seconds = asyncio.run(_rounds(folder, work, synchronous, rounds))
    median = sorted(seconds)[len(seconds) // 2]
    per_step = median * 1000 / steps
    return {
        "shape": shape,
        "synchronous": synchronous,
        "steps": steps,
        "seconds": round(median, 4),
        "steps_per_s": round(steps / median),
        "ms_per_step": round(per_step, 4),
        "floor_ms_per_step": round(floor, 4),
        "ratio": round(per_step / floor, 2),
        "peak_rss_mib": peak_rss_mib(),
    }


async def _rounds(
    folder: Path, work: Callable[[Embedded], Awaitable[int]], synchronous: Synchronous, rounds: int
) -> tuple[int, list[float]]:
    options = EmbeddedOptions(data_dir=folder / "data", configs_dir=configs(folder), synchronous=synchronous)
    async with embedded(options, "bench") as installation:
        await found(installation)
        await installation.worker.start()
        steps = await work(installation)  # once to warm up
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            steps = await work(installation)
            seconds.append(time.perf_counter() - started)
    return steps, seconds


def peak_rss_mib() -> int:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
