"""What the benches of extraction share: a server of pages in a process of its own, and an installation that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from tests.bench import engine

PAGE_ROWS: Final = 1_000
FIELDS: Final = [
    ("usage_date", "DATE"), ("model", "STRING"), ("project_id", "STRING"), ("user_id", "STRING"),
    ("api_key_id", "STRING"),
    ("input_tokens", "INT64"), ("output_tokens", "INT64"), ("cached_tokens", "INT64"), ("requests", "INT64"),
    ("cost", "NUMERIC"),
]  # fmt: skip


@contextmanager
def server() -> Iterator[str]:
    """Serve pages from another process; gives the base URL."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


@asynccontextmanager
async def installation(name: str, pipeline: str, **options: Any) -> AsyncIterator[Embedded]:
    """Open an installation whose pipeline `bench/shape/{name}` writes bench_usage_daily_raw; the worker runs."""
    with tempfile.TemporaryDirectory() as folder:
        root = engine.configs(Path(folder))
        place = root / "bench" / "shape"
        (place / "schemas").mkdir()
        columns = [{"name": column, "type": kind, "mode": "NULLABLE"} for column, kind in FIELDS]
        (place / "schemas" / "bench_usage_daily_raw.json").write_text(json.dumps(columns))
        (place / f"{name}.yml").write_text(pipeline)
        async with embedded(EmbeddedOptions(data_dir=root / "data", configs_dir=root, **options), "bench") as opened:
            await engine.found(opened)
            await opened.worker.start()
            yield opened


async def measure(name: str, pipeline: str, rows: int, **options: Any) -> dict[str, Any]:
    """Run the pipeline four times; return the median of the last three.

    `cpu_us_per_row` counts all threads of this process and not the server's; `peak_rss_mib` is this process's after
    all rounds, `first_peak_rss_mib` after the first, when there was no older slice to replace.
    """
    async with installation(name, pipeline, **options) as opened:
        await _one(opened, name, rows)
        first_mib = engine.peak_rss_mib()
        rounds = sorted([await _one(opened, name, rows) for _ in range(3)])
    seconds, cpu_s = rounds[1]
    return {
        "shape": name,
        "rows": rows,
        "seconds": round(seconds, 3),
        "rows_per_s": round(rows / seconds),
        "cpu_us_per_row": round(cpu_s / rows * 1e6, 2),
        "rows_per_cpu_s": round(rows / cpu_s),
        "first_peak_rss_mib": first_mib,
        "peak_rss_mib": engine.peak_rss_mib(),
    }


async def _one(opened: Embedded, name: str, rows: int) -> tuple[float, float]:
    """Return seconds and seconds of processor time from the request to the visible slice."""
    started, cpu = time.perf_counter(), time.process_time()
    run = await dispatch(opened.services, RunRequest(org="org0", pipeline=f"bench/shape/{name}"))
    ended = await opened.worker.wait("org0", run.run_id)
    taken = time.perf_counter() - started, time.process_time() - cpu
    assert ended.totals["rows_written"] == rows, ended
    return taken


def _run(ready: Connection) -> None:
    asyncio.run(_serve(ready))


async def _serve(ready: Connection) -> None:
    """Answer `GET /rows?pages=n&page=k` as fast as a server can: the pages are made before.

    `rows` is the size of a page, `after_ms` the time that an answer takes.
    """
    sizes = {size: [_page(number, size) for number in range(10)] for size in (PAGE_ROWS, 100, 20)}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client is done
            while request := await reader.readuntil(b"\r\n\r\n"):
                query = dict(pair.split("=") for pair in request.split(b" ")[1].decode().partition("?")[2].split("&"))
                page, pages = int(query.get("page", 0)), int(query["pages"])
                following = "null" if page + 1 >= pages else f'"{page + 1}"'
                rows = sizes[int(query.get("rows", PAGE_ROWS))][page % 10]
                body = b'{"data":' + rows + b',"next_page":' + following.encode() + b"}"
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                if "after_ms" in query:
                    await asyncio.sleep(int(query["after_ms"]) / 1000)
                writer.write(head + body)
                await writer.drain()

    started = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1_000)
    ready.send(started.sockets[0].getsockname()[1])
    await started.serve_forever()


def _page(page: int, size: int) -> bytes:
    day = datetime(2026, 3, 1, tzinfo=UTC).date().isoformat()
    rows = [
        {
            "usage_date": day, "model": f"model-{n % 7}", "project_id": f"proj_{n % 13}", "user_id": f"user-{n}",
            "api_key_id": f"key_{n % 29}", "input_tokens": n * 17 + page, "output_tokens": n * 3, "cached_tokens": n,
            "requests": n % 5 + 1, "cost": f"0.{n:09d}",
        }
        for n in range(size)
    ]  # fmt: skip
    return json.dumps(rows).encode()
