"""200 orgs extracting at once, in one process, from an API that takes 100 ms to answer: who is the bound?

The API's capacity is what 200 bare connections get out of it, each asking again as soon as it is answered.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any, Final

import httpx
import uvloop

from convergence.bootstrap import Embedded
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from tests.bench import engine, pages
from tests.bench.extract import PIPELINE

ORGS: Final = 200
PAGES: Final = 150  # of each org: the start of 200 runs is a thirtieth
AFTER_MS: Final = 100


def measure(page_rows: int = 20) -> dict[str, Any]:
    """Return pages per second of the API by itself, of ours, and their ratio."""
    params = {"pages": PAGES, "rows": page_rows, "after_ms": AFTER_MS}
    with pages.server() as url:
        capacity = asyncio.run(_capacity(url, params))
        text = PIPELINE.format(url=url, params=json.dumps(params))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as `convergence serve` has it
            ours, cpu_s = runner.run(_ours(text, PAGES * page_rows))
    return {
        "shape": "orgs",
        "orgs": ORGS,
        "pages": ORGS * PAGES,
        "page_rows": page_rows,
        "api_pages_per_s": round(capacity),
        "pages_per_s": round(ours),
        "ratio": round(ours / capacity, 3),
        "cpu_us_per_page": round(cpu_s / (ORGS * PAGES) * 1e6),
        "peak_rss_mib": engine.peak_rss_mib(),
    }


async def _capacity(url: str, params: dict[str, int]) -> float:
    where, query = httpx.URL(url), "&".join(f"{name}={value}" for name, value in params.items())

    async def asking() -> None:
        reader, writer = await asyncio.open_connection(where.host, where.port)
        for page in range(PAGES):
            writer.write(f"GET /rows?{query}&page={page} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r")[0]))
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(asking() for _ in range(ORGS)))
    return ORGS * PAGES / (time.perf_counter() - started)


async def _ours(pipeline: str, rows: int) -> tuple[float, float]:
    """Return pages per second between the first step's start and the last page, and processor seconds."""
    async with pages.installation("extract", pipeline) as opened:
        first = await opened.services.orgs.get("org0")
        names = [f"tenant{number}" for number in range(ORGS)]
        for name in names:
            await opened.services.orgs.create(replace(first, slug=name))
            await opened.services.warehouse.ensure_dataset(f"{name}_dev")
        await _run(opened, "org0", rows)
        clock = _Clock(opened)
        cpu = time.process_time()
        await asyncio.gather(*(_run(opened, name, rows) for name in names))
        return ORGS * PAGES / clock.seconds(), time.process_time() - cpu


class _Clock:
    """When the first and the last page of all orgs arrived, as the client of all steps sees it."""

    def __init__(self, opened: Embedded) -> None:
        self.at: list[float] = [time.perf_counter()]
        opened.services.http().event_hooks["response"].append(self._seen)

    async def _seen(self, _: httpx.Response) -> None:
        self.at.append(time.perf_counter())

    def seconds(self) -> float:
        """Return the time from the first dispatch to the last answer."""
        return self.at[-1] - self.at[0]


async def _run(opened: Embedded, org: str, rows: int) -> None:
    run = await dispatch(opened.services, RunRequest(org=org, pipeline="bench/shape/extract"))
    ended = await opened.worker.wait(org, run.run_id)
    assert ended.totals["rows_written"] == rows, ended
