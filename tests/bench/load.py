"""API rows through the paging client alone into a replaced slice: what is left when nothing is asked of the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from convergence.ports.processor import Context
from convergence.processors.http.client import RestClient
from tests.bench import engine, pages


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
    """Return rows per second, processor time per row, and peak memory."""
    with pages.server() as url:
        step = {"step_id": "load_rows", "config": {"url": url, "pages": str(rows // pages.PAGE_ROWS)}}
        text = engine.pipeline([step])
        return asyncio.run(pages.measure("load", text, rows, processor=lambda _: LoadProcessor()))
