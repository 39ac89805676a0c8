"""Every pipeline of an LLM provider, end to end in the embedded mode; sums against the sandbox's raw figures."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.ports.warehouse import Scope, Statement
from convergence.sandbox import anthropic, azure, bill, claude_code, google
from tests.unit.processors.expected_costs import DATES, FIRST, LAST, expected
from tests.unit.processors.installation import ORG, Here, days, installed
from tests.unit.processors.step_world import CONFIGS

RANGE = days(FIRST, LAST)
PROVIDERS = ("openai", "anthropic", "gemini", "vertex", "azure_openai")


def in_installation(folder: Path, work: Any) -> Any:
    async def main() -> Any:
        async with installed(folder) as here:
            return await work(here)

    return asyncio.run(main())


def billed(provider: str) -> Decimal:
    """The whole bill of a provider whose usage is priced here, from raw figures."""
    start = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp())
    if provider == "openai":
        return sum((charge.amount for charge in bill.charges(start, start + 4 * anthropic.DAY)), Decimal(0))
    return sum((amount for _, amount in anthropic.charges(start, start + 4 * anthropic.DAY)), Decimal(0))


async def focus(here: Here) -> dict[str, Decimal]:
    rows = await here.rows(
        "SELECT x_Provider AS provider, SUM(BilledCost) AS cost FROM cost_data_standard_1_3"
        " WHERE x_UsageKind <> 'subscription' GROUP BY x_Provider"
    )
    return {row["provider"]: row["cost"] for row in rows}


def test_every_provider_pays_as_it_goes_to_the_last_decimal_and_is_consolidated_once(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up(*PROVIDERS)
        for provider in PROVIDERS:
            await here.good(f"genai/payg/{provider}", **here.asks(provider), **RANGE)
        options = {provider: expected(provider) for provider in PROVIDERS}
        assert await focus(here) == options
        # The same usage by another pipeline takes the days over, and closes them against the bill that it reads.
        await here.good("openai/cost/usage_cost", api_base_url=here.url, **RANGE)
        options["openai"] = billed("openai")
        assert await focus(here) == options
        for _ in range(2):
            results = await here.good("genai/unified/consolidate", **RANGE)
            found = {one["provider"]: Decimal(one["cost"]) for one in results["consolidate_usage"]["providers"]
                     if one["cost"] is not None}  # fmt: skip
            assert found == options
        rows = await here.rows("SELECT provider, source_pipeline_id FROM genai_usage_cost_daily_unified")
        sources = {row["source_pipeline_id"] for row in rows if row["provider"] == "openai"}
        assert sources == {"acme-openai-cost-usage-cost"}

    in_installation(tmp_path, work)


def test_claude_code_gives_every_session_and_token_once(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up("anthropic")
        await here.good("anthropic/claude_code", api_base_url=here.url, **RANGE)
        raw = [record for day in DATES for record in claude_code.records(day)]
        parts = [part for record in raw for part in record["model_breakdown"]]
        (sums,) = await here.rows(
            "SELECT SUM(sessions) AS sessions, SUM(lines_added) AS added, SUM(uncached_input_tokens) AS input,"
            " SUM(cache_read_input_tokens) AS cache_read, SUM(cache_write_tokens) AS cache_creation,"
            " SUM(output_tokens) AS output, SUM(estimated_cost) AS cost, COUNT(*) AS n"
            " FROM anthropic_claude_code_daily_raw"
        )
        assert sums["sessions"] == sum(record["core_metrics"]["num_sessions"] for record in raw) > 0
        assert sums["added"] == sum(record["core_metrics"]["lines_of_code"]["added"] for record in raw)
        for kind in ("input", "cache_read", "cache_creation", "output"):
            assert sums[kind] == sum(part["tokens"][kind] for part in parts), kind
        assert sums["cost"] == Decimal(sum(part["estimated_cost"]["amount"] for part in parts)) / 100
        assert sums["n"] == len(raw) + len(parts)
        # Nothing of it is cost: the messages report has these tokens too.
        await here.good("genai/unified/consolidate", **RANGE)
        assert await here.rows("SELECT 1 FROM genai_usage_cost_daily_unified") == []

    in_installation(tmp_path, work)


def test_metrics_of_vertex_and_azure_are_those_of_the_provider(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up("vertex", "azure_openai")
        for provider in ("vertex", "azure_openai"):
            await here.good(f"genai/payg/{provider}", **here.asks(provider), **RANGE)
        rows = await here.rows(
            "SELECT provider, sku, SUM(quantity) AS quantity FROM genai_metrics_daily_raw GROUP BY provider, sku"
        )
        found = {(row["provider"], row["sku"]): row["quantity"] for row in rows}
        chat = [google.tokens(day) for day in DATES]
        code = [sums for day in DATES for sums in azure.usage(day).values()]
        assert found == {
            ("vertex", "input tokens"): sum(one["input"] + one["cached"] for one in chat),
            ("vertex", "output tokens"): sum(one["output"] for one in chat),
            ("azure_openai", "input tokens"): sum(one["input"] + one["cached"] for one in code),
            ("azure_openai", "output tokens"): sum(one["output"] for one in code),
            ("azure_openai", "requests"): sum(one["requests"] for one in code),
        }

    in_installation(tmp_path, work)


def test_every_other_pipeline_of_the_providers_runs(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up("openai", "anthropic", "deepseek")
        for provider in ("openai", "anthropic"):
            validated = await here.good(f"{provider}/auth/validate", api_base_url=here.url)
            assert validated["validate_credential"]["valid"] is True
        await here.good("openai/cost/cost_extract", api_base_url=here.url, **RANGE)
        await here.good("openai/cost/cost_calculation", **RANGE)
        await here.good("anthropic/usage_cost", api_base_url=here.url, **RANGE)
        await here.good("deepseek/cost/balance", **here.asks("deepseek"))
        await here.good("example/hello")
        assert await focus(here) == {provider: billed(provider) for provider in ("openai", "anthropic")}

    in_installation(tmp_path, work)


def test_what_deepseek_cost_is_the_fall_of_its_balance(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up("deepseek")
        asks = here.asks("deepseek")
        first = await here.good("genai/payg/deepseek", **asks)
        assert (first["calculate_costs"]["rows_written"], first["calculate_costs"]["since"]) == (0, None)
        assert "the first reading" in first["calculate_costs"]["warnings"][0]
        run = await here.run("genai/payg/deepseek", **asks, date="2026-01-01")
        assert run.status == "failed"
        assert "DeepSeek reports the current balance only" in str(run.error)

    in_installation(tmp_path, work)


def test_days_that_were_never_extracted_do_not_replace_charges(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up("openai")
        await here.good("openai/cost/usage_cost", api_base_url=here.url, **RANGE)
        before = await focus(here)
        await here.good("openai/cost/cost_extract", api_base_url=here.url, **days(FIRST, DATES[1]))
        refused = await here.run("openai/cost/cost_calculation", **RANGE)
        assert refused.status == "failed"
        assert "has usage of 2026-11-12 from acme-openai-cost-usage-cost, none from" in str(refused.error)
        assert await focus(here) == before

    in_installation(tmp_path, work)


def documented_statement() -> str:
    return (CONFIGS.parent / "docs/data.md").read_text("utf-8").partition("```sql\n")[2].partition("```")[0]


def test_the_documented_statement_says_what_was_compared_with_the_bill_and_what_was_not(tmp_path: Path) -> None:
    async def work(here: Here) -> list[set[str]]:
        async def answers() -> set[str]:
            return {row["answer"] for row in await here.rows(documented_statement())}

        await here.set_up("openai")
        await here.good("genai/payg/openai", api_base_url=here.url, **RANGE)
        found = [await answers()]
        await here.good("openai/cost/usage_cost", api_base_url=here.url, **RANGE)
        found.append(await answers())
        await here.good("genai/payg/openai", api_base_url=here.url, **RANGE)  # takes the days over, at the same prices
        found.append(await answers())
        # As when the usage has grown since the comparison.
        grown = "UPDATE cost_data_standard_1_3 SET ListCost = ListCost + 1 WHERE x_Model = 'gpt-4o'"
        scope = Scope(dataset=f"{ORG}_dev", writable=True)
        await here.installation.services.warehouse.query(Statement(grown, scope=scope, job_id="grown"))
        rows = [row for row in await here.rows(documented_statement()) if row["answer"] != "residual"]
        found.append({row["answer"] for row in rows if row["x_Model"] == "gpt-4o"})
        found.append({row["answer"] for row in rows if row["x_Model"] != "gpt-4o"})
        return found

    compared = {"matched", "over"}
    closed = {*compared, "residual"}
    assert in_installation(tmp_path, work) == [{"not_compared"}, closed, closed, {"changed_since"}, compared]
