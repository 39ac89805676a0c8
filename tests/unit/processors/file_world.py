"""A folder of delivered files, a warehouse, and the step `generic.file_extractor` between them."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from convergence.adapters.http.client import StepClient
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import ConvergenceError
from convergence.ports.warehouse import Warehouse
from convergence.processors.generic.file_extractor import FileExtractor
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.step_world import CONFIGS, ManualClock, WorldContext

FIELDS = [
    {"name": "id", "type": "INT64", "mode": "REQUIRED"},
    {"name": "period", "type": "DATE", "mode": "REQUIRED"},
    {"name": "day", "type": "DATE"},
    {"name": "cost", "type": "BIGNUMERIC"},
    {"name": "currency", "type": "STRING"},
    {"name": "other_fields", "type": "STRING"},
    {"name": "delivery_id", "type": "STRING"},
    {"name": "delivered_at", "type": "TIMESTAMP"},
]
HEAD = "id,period,day,cost,currency\n"
MONTH: Mapping[str, Any] = {
    "source": {"kind": "folder", "path": "bills/"},
    "period": "month",
    "period_column": "period",
    "unknown_columns": "keep",
}


class FileWorld:
    """`put` delivers files, `run` loads them, `rows` looks at the table; `made` counts the deliveries."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, folder / "files"
        (self.files / "acme" / "bills").mkdir(parents=True)
        schemas = folder / "configs" / "acme" / "schemas"
        schemas.mkdir(parents=True)
        (schemas / "acme_bills_raw.json").write_text(json.dumps(FIELDS))
        quarantine = CONFIGS / "system/schemas/org_meta_quarantine_rows.json"
        (schemas / quarantine.name).write_text(quarantine.read_text())
        self.clock = ManualClock()
        self.embedded = DuckDbWarehouse(folder / "warehouse.duckdb", clock=self.clock)
        self.warehouse: Warehouse = self.embedded
        self.answer: Callable[[Request], Response] = lambda _: Response(404)  # of http://server
        self.made = 0

    def put(self, name: str, data: str | bytes, *, at: int = 1_760_000_000) -> Path:
        """Write a file of the org; `at` is when, in seconds."""
        path = self.files / "acme" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        os.utime(path, (at, at))
        return path

    def take_away(self) -> None:
        """Remove all files."""
        for path in (self.files / "acme").rglob("*"):
            if path.is_file() or path.is_symlink():
                path.unlink()

    def run(self, config: Mapping[str, Any] = MONTH, **fields: Any) -> dict[str, Any]:
        """Run the step for one month; return its result."""
        return asyncio.run(self.execute(config, fields))

    def refused(self, config: Mapping[str, Any] = MONTH, **fields: Any) -> str:
        """Run the step, which must fail; return its message."""
        try:
            self.run(config, **fields)
        except ConvergenceError as error:
            return str(error)
        raise AssertionError("the step succeeded")

    async def execute(self, config: Mapping[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        """Run the step inside of a loop."""
        self.made += 1
        destination = {"table": "acme_bills_raw", "date_field": "day", **fields.pop("destination", {})}
        days = {"start_date": date(2026, 1, 10), "end_date": date(2026, 1, 12)}
        given = {"configs_dir": self.folder / "configs", "run_id": f"run_{self.made}", **days, **fields}
        server = HttpServer(self.answer)
        text = json.dumps(config).replace("http://server", await server.start())
        try:
            async with StepClient() as client:
                context = WorldContext(client, self.warehouse, self.clock, **given)
                context.files = self.files
                block = json.loads(text)
                step = {"source": block.pop("source"), "config": block, "destination": destination}
                return dict(await FileExtractor().execute(step, context))
        finally:
            await server.stop()

    def rows(self, sql: str = "SELECT id, day, cost FROM acme_bills_raw ORDER BY id") -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

        async def query() -> Any:
            return await WorldContext(None, self.warehouse, self.clock).warehouse.query(sql)

        return [tuple(row.values()) for row in asyncio.run(query()).rows]


def month(*rows: str, head: str = HEAD) -> str:
    """Return a CSV file of January's bill."""
    return head + "".join(f"{row}\n" for row in rows)


def day_rows(*days: int, first: int = 1) -> str:
    """Return a file with a row for each day of January."""
    return month(*(f"{number},2026-01-01,2026-01-{day:02},1.5,USD" for number, day in enumerate(days, first)))


def gz(text: str) -> bytes:
    return gzip.compress(text.encode())
