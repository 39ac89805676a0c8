"""Every pipeline of an LLM provider, end to end in the embedded mode; sums against the sandbox's raw figures."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.sandbox import anthropic, azure, google
from tests.e2e.recompute import total_cost
from tests.unit.processors.installation import Here, days, installed

FIRST, LAST = date(2026, 11, 10), date(2026, 11, 13)
DATES = [FIRST + timedelta(days=number) for number in range(4)]
RANGE = days(FIRST, LAST)
PROVIDERS = ("openai", "anthropic", "gemini", "vertex", "azure_openai")


def in_installation(folder: Path, work: Any) -> Any:
    async def main() -> Any:
        async with installed(folder) as here:
            return await work(here)

    return asyncio.run(main())


def expected(provider: str) -> Decimal:
    """The provider's cost from raw figures, sharing no line of code with the pipelines."""
    if provider == "openai":
        return total_cost(FIRST, LAST)
    if provider == "azure_openai":
        return sum((cost for day in DATES for _, cost in azure.charges(day).values()), Decimal(0))
    if provider in {"gemini", "vertex"}:
        service = {"gemini": "Gemini API", "vertex": "Vertex AI"}[provider]
        rows = google.export(FIRST, LAST, [service])
        return sum((Decimal(str(row["cost"])) + Decimal(str(row["credits"])) for row in rows), Decimal(0))
    start = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp())
    prices = {  # USD per million tokens, Anthropic's published list; batch is half
        "claude-haiku-4-5": (1, "0.1", "1.25", 2, 5),
        "claude-sonnet-4-5": (3, "0.3", "3.75", 6, 15),
        "claude-opus-4-8": (5, "0.5", "6.25", 10, 25),
    }
    total = Decimal(0)
    for row in anthropic.messages(start, start + 4 * anthropic.DAY):
        share = Decimal("0.5") if row["service_tier"] == "batch" else Decimal(1)
        for name, price in zip(anthropic.PRICED, prices[row["model"]], strict=True):
            total += row[name] * Decimal(price) * share / 1_000_000
        total += row["web_search_requests"] * Decimal("0.01")
    return total


async def focus(here: Here) -> dict[str, Decimal]:
    rows = await here.rows(
        "SELECT x_Provider AS provider, SUM(BilledCost) AS cost FROM cost_data_standard_1_3"
        " WHERE x_Processing IS NOT NULL GROUP BY x_Provider"
    )
    return {row["provider"]: row["cost"] for row in rows}


def test_every_provider_pays_as_it_goes_to_the_last_decimal_and_is_consolidated_once(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up(*PROVIDERS)
        for provider in PROVIDERS:
            await here.good(f"genai/payg/{provider}", **here.asks(provider), **RANGE)
        wanted = {provider: expected(provider) for provider in PROVIDERS}
        assert await focus(here) == wanted
        # The same usage by another pipeline takes the days over; a second run changes nothing.
        await here.good("openai/cost/usage_cost", api_base_url=here.url, **RANGE)
        assert await focus(here) == wanted
        for _ in range(2):
            results = await here.good("genai/unified/consolidate", **RANGE)
            found = {one["provider"]: Decimal(one["cost"]) for one in results["consolidate_usage"]["providers"]
                     if one["cost"] is not None}  # fmt: skip
            assert found == wanted
        rows = await here.rows("SELECT provider, source_pipeline_id FROM genai_usage_cost_daily_unified")
        sources = {row["source_pipeline_id"] for row in rows if row["provider"] == "openai"}
        assert sources == {"acme-openai-cost-usage-cost"}

    in_installation(tmp_path, work)
