"""Rows of fast pages through `generic.api_extractor`, from the first request to the visible slice."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.engine.dispatch import RunRequest, dispatch
from tests.bench import engine
from tests.bench.load import FIELDS, PAGE_ROWS, serve

PIPELINE: Final = """
pipeline_id: "{{org_slug}}-bench-shape-extract"
provider: bench
domain: shape
steps:
  - step_id: extract_rows
    ps_type: generic.api_extractor
    timeout_minutes: 60
    config:
      url: "{url}/rows"
      params: {{pages: {pages}}}
      data_path: data
      pagination: {{type: cursor, param: page, response_path: next_page}}
      allow_private_addresses: true
    destination: {{table: bench_usage_daily_raw}}
"""


def measure(rows: int = 100_000) -> dict[str, Any]:
    """Return rows per second, and peak memory."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    try:
        with tempfile.TemporaryDirectory() as name:
            seconds = sorted(asyncio.run(_rounds(Path(name), f"http://127.0.0.1:{port}", rows)))
    finally:
        server.terminate()
        server.join()
    median = seconds[len(seconds) // 2]
    return {
        "shape": "extract",
        "rows": rows,
        "seconds": round(median, 3),
        "rows_per_s": round(rows / median),
        "peak_rss_mib": engine.peak_rss_mib(),
    }


async def _rounds(folder: Path, url: str, rows: int) -> list[float]:
    root = engine.configs(folder)
    place = root / "bench" / "shape"
    (place / "schemas").mkdir()
    columns = [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in FIELDS]
    (place / "schemas" / "bench_usage_daily_raw.json").write_text(json.dumps(columns))
    (place / "extract.yml").write_text(PIPELINE.format(url=url, pages=rows // PAGE_ROWS))
    options = EmbeddedOptions(data_dir=folder / "data", configs_dir=root)
    async with embedded(options, "bench") as installation:
        await engine.found(installation)
        await installation.worker.start()
        await _one(installation, rows)
        return [await _one(installation, rows) for _ in range(3)]


async def _one(installation: Embedded, rows: int) -> float:
    started = time.perf_counter()
    run = await dispatch(installation.services, RunRequest(org="org0", pipeline="bench/shape/extract"))
    ended = await installation.worker.wait("org0", run.run_id)
    seconds = time.perf_counter() - started
    assert ended.totals == {"rows_processed": rows, "rows_written": rows}, ended
    return seconds
