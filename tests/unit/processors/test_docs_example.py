"""docs/writing-processors.md is followed word by word: its files are written out, and its step runs."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import date, timedelta
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.step_world import FIRST, ManualClock, Vault, WorldContext

PAGE = (Path(__file__).parents[3] / "docs" / "writing-processors.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def block(language: str, word: str) -> str:
    """The page's block of this language with this word in it."""
    (found,) = [text for name, text in BLOCKS if name == language and word in text]
    return found


def module(text: str, folder: Path) -> ModuleType:
    file = folder / "example_processor.py"
    file.write_text(text, "utf-8")
    spec = spec_from_file_location("example_processor", file)
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    sys.modules[made.__name__] = made
    spec.loader.exec_module(made)
    return made


def invoices(request: Request) -> Response:
    """Two invoices a day, on two pages."""
    query = dict(request.query)
    last = "page" in query
    answer = {
        "data": [{"date": query["day"], "id": f"{query['day']}-{int(last)}", "total": 10.5}],
        "has_more": not last,
        "next_page": None if last else "second",
    }
    return Response(200, json.dumps(answer).encode())


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    schema = tmp_path / "configs/acme/billing/schemas/acme_invoice_daily_raw.json"
    schema.parent.mkdir(parents=True)
    schema.write_text(block("json", "invoice_date"), "utf-8")
    return tmp_path / "configs"


def test_the_shortest_processor_says_hello(tmp_path: Path) -> None:
    made = module(block("python", "class Hello"), tmp_path)
    context = WorldContext(None, None, ManualClock())
    assert asyncio.run(made.get_engine().execute({}, context)) == {"status": "SUCCESS", "message": "hello acme"}


def test_the_example_loads_its_pages_into_its_table(configs: Path) -> None:
    made = module(block("python", "InvoiceProcessor"), configs.parent)
    (step,) = yaml.safe_load(block("yaml", "acme.invoices"))["steps"]

    async def main() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        server, clock = HttpServer(invoices), ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        step["config"]["api_base_url"] = await server.start()
        try:
            async with httpx.AsyncClient() as client:
                vault = Vault({"acme": "a key"})
                fields = {"configs_dir": configs, "secrets": vault, "end_date": FIRST + timedelta(days=1)}
                context = WorldContext(client, warehouse, clock, **fields)
                result = await made.get_engine().execute(step, context)
                table = await context.warehouse.query("SELECT * FROM acme_invoice_daily_raw ORDER BY number")
                return result, table.rows
        finally:
            await server.stop()
            warehouse.close()

    result, rows = asyncio.run(main())
    assert (result["status"], result["rows_written"]) == ("SUCCESS", 4)
    assert (rows[0]["number"], rows[0]["amount"]) == ("2026-11-10-0", Decimal("10.5"))
    assert {row["invoice_date"] for row in rows} == {date(2026, 11, 10), date(2026, 11, 11)}
    assert rows[0]["x_org_slug"] == "acme"
