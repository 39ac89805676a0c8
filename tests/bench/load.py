"""API rows from a local HTTP server through the paging client into a replaced slice, lineage and all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.engine.dispatch import RunRequest, dispatch
from convergence.ports.processor import Context
from convergence.processors.rest import RestClient
from tests.bench import engine

PAGE_ROWS = 1_000
FIELDS = [
    ("usage_date", "DATE"), ("model", "STRING"), ("project_id", "STRING"), ("user_id", "STRING"),
    ("api_key_id", "STRING"),
    ("input_tokens", "INT64"), ("output_tokens", "INT64"), ("cached_tokens", "INT64"), ("requests", "INT64"),
    ("cost", "NUMERIC"),
]  # fmt: skip


class LoadProcessor:
    """Pages → stage → one replacement."""

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        stage = context.warehouse.stage("bench_usage_daily_raw")
        client = RestClient(context, step_config["config"]["url"], headers={}, service="bench")
        part = 0
        async for page in client.pages("/rows", [("pages", step_config["config"]["pages"])], paging=_paging):
            await stage.write(part, page["data"])
            part += 1
        result = await context.warehouse.load(stage, dates=[context.start_date])
        return {"status": "SUCCESS", "rows_written": result.rows_loaded}


def _paging(page: Any, params: Any) -> Any:
    if page["next_page"] is None:
        return None
    return [*(pair for pair in params if pair[0] != "page"), ("page", page["next_page"])]


def measure(rows: int = 100_000) -> dict[str, Any]:
    """Return rows per second from the first request to the visible slice, and peak memory."""
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
        "shape": "load",
        "rows": rows,
        "seconds": round(median, 3),
        "rows_per_s": round(rows / median),
        "peak_rss_mib": engine.peak_rss_mib(),
    }


async def _rounds(folder: Path, url: str, rows: int) -> list[float]:
    root = engine.configs(folder)
    schemas = root / "bench" / "shape" / "schemas"
    schemas.mkdir()
    columns = [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in FIELDS]
    (schemas / "bench_usage_daily_raw.json").write_text(json.dumps(columns))
    step = {"step_id": "load_rows", "config": {"url": url, "pages": str(rows // PAGE_ROWS)}}
    (root / "bench" / "shape" / "load.yml").write_text(engine.pipeline([step]))
    options = EmbeddedOptions(data_dir=folder / "data", configs_dir=root, processor=lambda _: LoadProcessor())
    async with embedded(options, "bench") as installation:
        await engine.found(installation)
        await installation.worker.start()
        await _one(installation, rows)
        return [await _one(installation, rows) for _ in range(3)]


async def _one(installation: Embedded, rows: int) -> float:
    started = time.perf_counter()
    run = await dispatch(installation.services, RunRequest(org="org0", pipeline="bench/shape/load"))
    ended = await installation.worker.wait("org0", run.run_id)
    seconds = time.perf_counter() - started
    assert ended.totals == {"rows_processed": 0, "rows_written": rows}, ended
    return seconds


def serve(ready: Connection) -> None:
    """Answer `GET /rows?pages=n&page=k` as fast as a server can: the pages are made before."""
    asyncio.run(_serve(ready))


async def _serve(ready: Connection) -> None:
    bodies = [json.dumps(_rows(page))[:-1].encode() for page in range(10)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client is done
            while request := await reader.readuntil(b"\r\n\r\n"):
                query = dict(pair.split("=") for pair in request.split(b" ")[1].decode().partition("?")[2].split("&"))
                page, pages = int(query.get("page", 0)), int(query["pages"])
                following = "null" if page + 1 >= pages else f'"{page + 1}"'
                body = b'{"data":' + bodies[page % 10] + b'],"next_page":' + following.encode() + b"}"
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                writer.write(head + body)
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _rows(page: int) -> list[dict[str, Any]]:
    day = datetime(2026, 3, 1, tzinfo=UTC).date().isoformat()
    return [
        {
            "usage_date": day, "model": f"model-{n % 7}", "project_id": f"proj_{n % 13}", "user_id": f"user-{n}",
            "api_key_id": f"key_{n % 29}", "input_tokens": n * 17 + page, "output_tokens": n * 3, "cached_tokens": n,
            "requests": n % 5 + 1, "cost": f"0.{n:09d}",
        }
        for n in range(PAGE_ROWS)
    ]  # fmt: skip
