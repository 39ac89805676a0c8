"""`genai.payg_*` for all LLM providers, pipelines in two halves, and what a provider does not have."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.procedures import load_procedures
from convergence.config.files.providers import load_providers
from convergence.config.processors import ps_types
from convergence.errors import StepFailed
from convergence.processors.genai.provider_dispatch import providers
from convergence.sandbox import ADMIN_KEY, Sandbox, anthropic
from tests.unit.processors.plans import plan_of, run
from tests.unit.processors.step_world import CONFIGS, FIRST, LAST, ManualClock, Vault, WorldContext

DATES = {"start_date": FIRST.isoformat(), "end_date": LAST.isoformat()}


async def runs(provider: str, *pipelines: str) -> list[Any]:
    """Set the provider up, run the pipelines one after the other; return the last one's results and FOCUS rows."""
    clock, sandbox = ManualClock(), Sandbox()
    warehouse = DuckDbWarehouse(None, clock=clock)
    key = {"openai": ADMIN_KEY, "anthropic": anthropic.ADMIN_KEY}[provider]
    vault = Vault({"api_key": key, provider: key})
    base_url = await sandbox.start()
    try:
        async with httpx.AsyncClient() as client:
            context = WorldContext(client, warehouse, clock, secrets=vault, credentials=vault, provider=provider)
            await warehouse.sync_routines(load_procedures(CONFIGS))
            await run(plan_of(f"{provider}/auth/setup", api_key=key, api_base_url=base_url), context)
            found: list[Any] = []
            for pipeline in pipelines:
                given = {} if pipeline.endswith("cost_calculation") else {"api_base_url": base_url}
                results = await run(plan_of(pipeline, **given, **DATES), context)
                sql = (
                    "SELECT SUM(BilledCost) AS cost FROM cost_data_standard_1_3"
                    f" WHERE x_CostOrigin <> 'residual' AND x_pipeline_id = '{context.pipeline_id}'"
                )
                has_cost = "convert_focus" in results
                rows = (await context.warehouse.query(sql)).rows if has_cost else []
                found.append((results, rows[0]["cost"] if rows else None))
            return found
    finally:
        await sandbox.stop()
        warehouse.close()


@pytest.mark.parametrize(
    ("provider", "whole"), [("openai", "openai/cost/usage_cost"), ("anthropic", "anthropic/usage_cost")]
)
def test_payg_gives_the_cost_of_the_providers_own_pipeline(provider: str, whole: str) -> None:
    (_, cost), (results, same) = asyncio.run(runs(provider, whole, f"genai/payg/{provider}"))
    assert cost == same == Decimal(results["calculate_costs"]["total_cost"]) > 100


async def priced_without_a_provider(config: dict[str, Any]) -> tuple[Any, Any]:
    """Extract OpenAI's usage, and price whatever was extracted."""
    clock, sandbox = ManualClock(), Sandbox()
    warehouse, vault = DuckDbWarehouse(None, clock=clock), Vault({"api_key": ADMIN_KEY, "openai": ADMIN_KEY})
    base_url = await sandbox.start()
    try:
        async with httpx.AsyncClient() as client:
            context = WorldContext(client, warehouse, clock, secrets=vault, credentials=vault)
            await run(plan_of("openai/auth/setup", api_key=ADMIN_KEY, api_base_url=base_url), context)
            cost = ps_types.load("genai.payg_cost")
            nothing = await cost.execute({"config": config}, context)
            await ps_types.load("openai.usage").execute({"config": {"api_base_url": base_url}}, context)
            return nothing, await cost.execute({"config": config}, context)
    finally:
        await sandbox.stop()
        warehouse.close()


def test_cost_without_a_provider_is_that_of_all_whose_usage_is_here() -> None:
    nothing, answer = asyncio.run(priced_without_a_provider({"on_unknown_model": "warn"}))
    assert nothing["tables"] == {}
    assert "nothing to price" in nothing["warnings"][0]
    assert list(answer["tables"]) == ["openai_cost_daily"]
    assert answer["rows_written"] == answer["tables"]["openai_cost_daily"]["rows_written"] > 0


def test_extraction_and_calculation_in_two_pipelines_give_the_same_cost() -> None:
    found = asyncio.run(
        runs("openai", "openai/cost/usage_cost", "openai/cost/cost_extract", "openai/cost/cost_calculation")
    )
    assert found[0][1] == found[2][1] > 100


def dispatch_step(part: str, configs_dir: Path = CONFIGS, **config: Any) -> None:
    context = WorldContext(None, None, ManualClock())  # refused before anything is called
    context.configs_dir = configs_dir
    asyncio.run(ps_types.load(f"genai.payg_{part}").execute({"config": config}, context))


def test_what_a_provider_does_not_have_is_reported_and_not_invented() -> None:
    with pytest.raises(StepFailed, match="deepseek has no usage: its API gives the prepaid balance only"):
        dispatch_step("usage", provider="deepseek")


def test_a_providers_folder_says_what_it_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "provider.yml").write_text("type: llm\nunavailable: {usage: ask the bill}\naliases: [ac]\n")
    for name in ("acme", "ac"):
        with pytest.raises(StepFailed, match=f"{name} has no usage: ask the bill"):
            dispatch_step("usage", tmp_path, provider=name)


@pytest.mark.parametrize("provider", providers())
def test_all_other_parts_have_a_processor(provider: str) -> None:
    unavailable = load_providers(CONFIGS).providers[provider].unavailable
    parts = [part for part in ("usage", "cost") if part not in unavailable]
    assert all(ps_types.is_installed(f"{provider}.{part}") for part in parts)


def test_an_unknown_provider_and_dates_of_its_own_are_mistakes() -> None:
    with pytest.raises(StepFailed, match="Did you mean 'anthropic'"):
        dispatch_step("usage", provider="antropic")
    with pytest.raises(StepFailed, match="give dates to the run"):
        dispatch_step("usage", provider="openai", start_date="2026-01-01")


@pytest.mark.parametrize("name", ["openai", "claude"])
def test_validation_has_its_older_names(name: str) -> None:
    assert ps_types.is_installed(f"integrations.validate_{name}")
    assert hasattr(ps_types.load(f"integrations.validate_{name}"), "execute")


def test_a_stored_key_is_checked_and_never_returned() -> None:
    vault = Vault({"openai": "sk-very-secret", "empty": " "})
    context = WorldContext(None, None, ManualClock(), secrets=vault)
    step = ps_types.load("integrations.kms_decrypt")
    result = asyncio.run(step.execute({"config": {"provider": "openai", "context_key": "key"}}, context))
    assert result["opens"] is True
    assert "sk-very-secret" not in str(result)
    with pytest.raises(StepFailed, match="is empty"):
        asyncio.run(step.execute({"config": {"provider": "empty"}}, context))


def test_a_provider_is_known_by_its_processors() -> None:
    assert providers() == ["anthropic", "azure_openai", "deepseek", "gemini", "openai", "openrouter", "vertex"]
    assert providers(["acme.usage", "acme.invoices", "b.cost", "genai.payg_usage"]) == ["acme", "b"]
