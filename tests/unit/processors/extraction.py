"""A server, a warehouse and the step `generic.api_extractor` between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.http.transport import CheckedTransport
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import ConvergenceError
from convergence.processors.generic.api_extractor import ApiExtractor
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.step_world import CONFIGS, ManualClock, Vault, WorldContext

DAY = date(2026, 11, 10)
FIELDS = [
    {"name": "id", "type": "INT64", "mode": "REQUIRED"},
    {"name": "day", "type": "DATE"},
    {"name": "seen_at", "type": "TIMESTAMP"},
    {"name": "amount", "type": "NUMERIC"},
    {"name": "user_name", "type": "STRING"},
    {"name": "source", "type": "STRING"},
]
Handler = Callable[[Request], Response]


def answer(body: Any, status: int = 200, /, **headers: str) -> Response:
    return Response(status, json.dumps(body).encode(), headers)


class World:
    """A server, a warehouse and a step; `requests` are those that were made."""

    def __init__(self, folder: Path, handler: Handler) -> None:
        self.folder, self.handler = folder, handler
        self.requests: list[Request] = []
        self.clock = ManualClock()
        self.vault = Vault({"acme": "k3y"})
        schemas = folder / "acme" / "schemas"
        schemas.mkdir(parents=True, exist_ok=True)
        (schemas / "acme_things_daily_raw.json").write_text(json.dumps(FIELDS))
        quarantine = CONFIGS / "system/schemas/org_meta_quarantine_rows.json"
        (schemas / quarantine.name).write_text(quarantine.read_text())

    def record(self, request: Request) -> Response:
        self.requests.append(request)
        return self.handler(request)

    def run(self, config: Mapping[str, Any], *, times: int = 1, **parts: Any) -> tuple[dict[str, Any], list[Any]]:
        """Run the step (again and again while it says CONTINUE); return its last result and the table's rows."""
        return asyncio.run(self.run_async(config, times, parts))

    async def run_async(self, config: Mapping[str, Any], times: int, parts: dict[str, Any]) -> Any:
        server, warehouse = HttpServer(self.record), DuckDbWarehouse(None, clock=self.clock)
        base = await server.start()
        url = base + config.get("url", "/things")
        step = {
            "config": {"allow_private_addresses": True, "data_path": "data", **config, "url": url},
            "destination": {"table": "acme_things_daily_raw", **parts.pop("destination", {})},
            "transform": parts.pop("transform", {}),
        }
        fields = {"configs_dir": self.folder, "secrets": self.vault, "start_date": DAY, "end_date": DAY, **parts}
        try:
            async with httpx.AsyncClient(transport=CheckedTransport()) as client:
                for _ in range(times):
                    context = WorldContext(client, warehouse, self.clock, **fields)
                    result = dict(await ApiExtractor().execute(step, context))
                    assert result["status"] == "SUCCESS", result
                rows = await context.warehouse.query("SELECT * FROM acme_things_daily_raw ORDER BY id")
                return result, rows.rows
        finally:
            await server.stop()
            warehouse.close()


def things(first: int, last: int) -> list[dict[str, Any]]:
    return [{"id": number, "day": "2026-11-10"} for number in range(first, last + 1)]


NONE = {"pagination": {"type": "none"}}


def failing(tmp_path: Path, handler: Handler, config: Mapping[str, Any] | None = None, **parts: Any) -> str:
    with pytest.raises(ConvergenceError) as caught:
        World(tmp_path, handler).run({**NONE, **(config or {})}, **parts)
    return f"{type(caught.value).__name__}: {caught.value}"
