"""The REST API over loopback: accepted runs a second while the workers run, and status reads.

Requests are sent at fixed times over keep-alive connections, and each one's latency counts from the time at which it
was due: a server that stalls is charged for those that had to wait behind it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.bench import engine

CONNECTIONS = 32
ROOT_KEY = "root-key-of-the-bench-with-more-than-32-characters"
PLANS = Path(__file__).parents[2] / "configs" / "system" / "plans.yml"
LIMITS = {"daily": 1_000_000, "monthly": 1_000_000, "concurrent": 1_000_000}


def measure(runs: int = 20_000, per_second: int = 500) -> dict[str, Any]:
    """Return latencies of POST run at `per_second`, the rate of status reads, runs lost, and memory of the server."""
    with _server() as (server, url), httpx.Client(base_url=url, headers={"X-CA-Root-Key": ROOT_KEY}) as client:
        keys = [_onboard(client, f"org{number}") for number in range(engine.ORGS)]
        posts = [_request("POST", f"/api/v1/pipelines/run/{org}/bench/shape/one", key, b"{}") for org, key in keys]
        asyncio.run(_paced(url, posts, 1_000, per_second))  # what is read and compiled once
        before = _rss_mib(server.pid)
        latencies, statuses, seconds = asyncio.run(_paced(url, posts, runs, per_second))
        after = _rss_mib(server.pid)
        completed = _completed_runs(client, runs + 1_000)
        org, key = keys[0]
        run_id = client.get(f"/pipelines/history/{org}", params={"limit": 1}).json()["runs"][0]["run_id"]
        gets = [_request("GET", f"/api/v1/pipelines/status/{org}/{run_id}", key)]
        _, _, reading_s = asyncio.run(_paced(url, gets, 8_000, None))
    latencies.sort()
    return {
        "shape": "api",
        "runs": runs,
        "accepted_per_s": round(statuses.count(202) / seconds),
        "post_p50_ms": round(latencies[len(latencies) // 2] * 1000, 2),
        "post_p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 2),
        "refused": len(statuses) - statuses.count(202),
        "lost": runs + 1_000 - completed,
        "status_per_s": round(8_000 / reading_s),
        "rss_before_mib": before,
        "rss_after_mib": after,
    }


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with tempfile.TemporaryDirectory() as name, process(engine.configs(Path(name))) as server:
        assert server.stdout is not None
        line = server.stdout.readline().decode()
        assert line.startswith("serving"), line
        yield server, line.split()[1]


@contextmanager
def process(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the pipelines below `root` on data beside them, without rate limits."""
    shutil.copy(PLANS, root / "system")
    argv = [sys.executable, "-m", "convergence", "--data-dir", str(root / "data"), "--configs", str(root), "serve"]
    variables = {**os.environ, "CONVERGENCE_ROOT_KEY": ROOT_KEY, "RATE_LIMIT_ENABLED": "false"}
    server = subprocess.Popen([*argv, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables)
    try:
        yield server
    finally:
        server.terminate()
        server.wait()


def _onboard(client: httpx.Client, org: str) -> tuple[str, str]:
    answer = client.post("/organizations/onboard", json={"slug": org, "plan": "SCALE"}, timeout=60)
    client.patch(f"/organizations/{org}", json={"limits": LIMITS}).raise_for_status()
    return org, answer.json()["api_key"]


def _request(method: str, path: str, key: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\n"
    return (head + ("Content-Type: application/json\r\n\r\n" if body else "\r\n")).encode() + body


async def _paced(
    url: str, requests: list[bytes], count: int, per_second: int | None
) -> tuple[list[float], list[int], float]:
    """Send `count` requests, in turn from `requests`; without a pace as fast as they are answered."""
    address = httpx.URL(url)
    began = time.perf_counter() + 0.1
    numbers = iter(range(count))
    latencies: list[float] = []
    statuses: list[int] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        for number in numbers:
            due = time.perf_counter() if per_second is None else began + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None, head
            await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - due)
            statuses.append(int(head[9:12]))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return latencies, statuses, time.perf_counter() - began


def _completed_runs(client: httpx.Client, runs: int) -> int:
    """Return how many runs completed, once no more are active."""
    deadline = time.monotonic() + 120
    while True:
        quotas = [client.get(f"/organizations/org{number}/quota").json() for number in range(engine.ORGS)]
        completed = sum(quota["today"]["succeeded"] for quota in quotas)
        active = sum(quota["limits"]["concurrent"]["used"] for quota in quotas)
        if completed == runs or not active or time.monotonic() > deadline:
            return completed


def _rss_mib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None, "Linux tells it there"
    return int(found[1]) // 1024
