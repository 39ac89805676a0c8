"""The example pipelines, from a source to checked rows."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.installation import days, installed

USAGE: list[dict[str, Any]] = [
    {"day": "2026-04-01", "model": "large", "tokens": 10, "cost": 0.1},
    {"day": "2026-04-01", "model": "large", "tokens": 5, "cost": 0.2},
    {"day": "2026-04-02", "model": "small", "tokens": 7, "cost": 1},
]


def usage(request: Request) -> Response:
    asked = dict(request.query)
    found = [row for row in USAGE if asked["from"] <= row["day"] <= asked["to"]]
    return Response(200, json.dumps({"data": found}).encode())


def test_an_api_is_extracted_transformed_and_checked_without_a_schema_of_its_own(tmp_path: Path) -> None:
    async def work() -> None:
        server = HttpServer(usage)
        url = await server.start()
        try:
            async with installed(tmp_path) as here:
                given = {"api_base_url": url, "allow_private_addresses": True}
                for _ in range(2):  # the days are replaced
                    results = await here.good(
                        "example/usage/example_elt_pipeline", **given, **days(date(2026, 4, 1), date(2026, 4, 2))
                    )
                assert results["validate_usage"]["checks_passed"] == 2
                sql = "SELECT usage_date, model, tokens, cost FROM example_usage_daily_unified ORDER BY usage_date"
                assert [tuple(row.values()) for row in await here.rows(sql)] == [
                    (date(2026, 4, 1), "large", 15, Decimal("0.3")),
                    (date(2026, 4, 2), "small", 7, Decimal(1)),
                ]
        finally:
            await server.stop()

    asyncio.run(work())


def test_subscriptions_add_up_by_plan_and_by_month(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            april = days(date(2026, 4, 2), date(2026, 4, 30))
            assert (await here.run("example/finance/subscription_costs_transform", **april)).status == "completed"
            await here.good("openai/subscriptions", seats="7", starts_on="2026-04-02", **april)
            results = await here.good("example/finance/subscription_costs_transform", **april)
            assert results["transform_subscription_costs"]["rows_written"] == 29
            stored = "SELECT SUM(cost) AS cost FROM subscription_cost_daily"
            (total,) = await here.rows(stored)
            sums = "SELECT SUM(cost) AS cost FROM example_finance_daily_unified"
            assert await here.rows(sums) == [total]
            (month,) = await here.rows("SELECT * FROM openai_subscriptions_monthly")
            assert (month["month"], month["plan"], month["seats_max"], month["days"], month["cost"]) == (
                date(2026, 4, 1), "ChatGPT Business", 7, 29, total["cost"],
            )  # fmt: skip

    asyncio.run(work())


def test_the_sandbox_answers_for_the_example(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            given = {"api_base_url": f"{here.url}/example", "allow_private_addresses": True}
            await here.good("example/usage/example_elt_pipeline", **given, **days(date(2026, 4, 1), date(2026, 4, 2)))
            sql = "SELECT model, SUM(cost) AS cost FROM example_usage_daily_unified GROUP BY model ORDER BY model"
            assert [tuple(row.values()) for row in await here.rows(sql)] == [
                ("large", Decimal("0.06063")),
                ("small", Decimal("0.004042")),
            ]

    asyncio.run(work())
