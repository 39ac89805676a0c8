"""docs/writing-pipelines.md, "A provider without Python", is followed word by word."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.checks.processors import check_processors
from convergence.config.loader import load_pipeline
from convergence.config.parameters.values import resolve_parameters
from convergence.config.resolve import ResolveRequest, resolve
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.plans import run
from tests.unit.processors.step_world import CONFIGS, FIRST, NOW, ManualClock, Vault, WorldContext

PAGE = (Path(__file__).parents[3] / "docs" / "writing-pipelines.md").read_text("utf-8")
SECTION = PAGE.partition("## A provider without Python")[2].partition("\n## ")[0]


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(found)


def invoices(request: Request) -> Response:
    """Two pages, for who has the key and asks for the day."""
    query = dict(request.query)
    if request.headers.get("authorization") != "Bearer k3y" or query["day"] != FIRST.isoformat():
        return Response(401)
    last = query.get("after") == "second"
    one = {"id": f"n{int(last)}", "customer": {"name": "Ann"}, "amount": 10.5}
    return Response(200, json.dumps({"data": [one], "next": None if last else "second"}).encode())


async def followed(configs: Path) -> tuple[Any, list[dict[str, Any]]]:
    loaded = load_pipeline(configs / "acme/cost/invoices.yml", configs)
    assert check_processors(loaded, "gcp") == ([], [])
    server, clock = HttpServer(invoices), ManualClock()
    warehouse = DuckDbWarehouse(None, clock=clock)
    given = {"api_base_url": await server.start(), "allow_private_addresses": True, "date": FIRST.isoformat()}
    request = ResolveRequest(
        org_slug="acme", env="test", project_id="local", org_dataset="acme_test", run_id="run_1", fire_time=NOW,
        credential_id="cred_1", parameters=resolve_parameters(loaded, given, fire_time=NOW),
    )  # fmt: skip
    try:
        async with httpx.AsyncClient() as client:
            fields = {"configs_dir": configs, "secrets": Vault({"acme": "k3y"}), "end_date": FIRST}
            context = WorldContext(client, warehouse, clock, **fields)
            results = await run(resolve(loaded, request), context)
            table = await context.warehouse.query("SELECT * FROM acme_invoice_daily_raw ORDER BY invoice_id")
            return results, table.rows
    finally:
        await server.stop()
        warehouse.close()


def test_two_files_are_a_provider(tmp_path: Path) -> None:
    place = tmp_path / "acme" / "cost" / "schemas"
    place.mkdir(parents=True)
    (place / "acme_invoice_daily_raw.json").write_text(block("json"))
    (place.parent / "invoices.yml").write_text(block("yaml"))
    for name in ("org_meta_dq_results", "org_meta_quarantine_rows"):
        (place / f"{name}.json").write_text((CONFIGS / f"system/schemas/{name}.json").read_text())
    results, rows = asyncio.run(followed(tmp_path))
    assert results["extract_invoices"]["balance"]["loaded"] == 2
    assert results["validate_invoices"]["checks_passed"] == 2
    assert [(row["invoice_id"], row["customer_name"], row["amount"], row["source"]) for row in rows] == [
        ("n0", "Ann", Decimal("10.5"), "api"),
        ("n1", "Ann", Decimal("10.5"), "api"),
    ]
