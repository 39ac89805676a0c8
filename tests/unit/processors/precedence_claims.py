"""Claims of sources on the same costs, and a warehouse in which they arrive."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.processors.focus.publish import publish
from convergence.processors.focus.slices import Slice, slice_of
from tests.unit.processors.focus_charges import CANDIDATES, VISIBLE, asked, charge
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext

SECOND = FIRST + timedelta(days=1)
RULES = """
precedence:
  - name: claude
    sources: [{provider: anthropic, services: [Anthropic API]}, {provider: aws, services: [Amazon Bedrock]},
              {provider: openai, services: [OpenAI API]}]
  - {name: google, sources: [{provider: vertex}, {provider: gcp}]}
  - {name: reseller, match: [month], from: 2026-11, to: 2026-11,
     sources: [{provider: oci, services: [Resold]}, {provider: azure, services: [Resold]}]}
"""
# Provider, service, account, day, cost: every source reports some of what others do, and something of its own.
Claim = tuple[str, str, str, date, int]


def world(work: Callable[[WorldContext], Awaitable[Any]], folder: Path) -> None:
    """Run with the shipped registry and the rules above; Bedrock and what is resold are services of it."""

    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await work(WorldContext(None, warehouse, clock, configs_dir=configs(folder, RULES)))
        finally:
            warehouse.close()

    asyncio.run(main())


def configs(folder: Path, rules: str) -> Path:
    (folder / "system").mkdir(exist_ok=True)
    registry = (CONFIGS / "system/providers.yml").read_text()
    registry = registry.replace("\n  oci:\n", "\n  oci:\n    services: [Resold]\n")
    registry = registry.replace("services: [Azure OpenAI, ", "services: [Resold, Azure OpenAI, ", 1)
    (folder / "system/providers.yml").write_text(registry)
    (folder / "system/precedence.yml").write_text(rules)
    for file in (CONFIGS / "focus/schemas").iterdir():
        (folder / "focus/schemas").mkdir(parents=True, exist_ok=True)
        if not (folder / "focus/schemas" / file.name).exists():
            shutil.copy(file, folder / "focus/schemas" / file.name)
    return folder


async def bring(context: WorldContext, source: str, claims: Sequence[Claim]) -> int:
    """Publish what a source has now."""
    context.pipeline_id, context.run_id = f"acme-{source}", f"{context.run_id}x"
    stage = context.warehouse.stage(CANDIDATES)
    rows = [
        charge(
            number,
            x_Provider=provider,
            ServiceName=service,
            BillingAccountId=account,
            x_ChargeId=f"{source}-{number}",
            BilledCost=Decimal(cost),
            ChargePeriodStart=f"{day}T00:00:00Z",
        )
        for number, (provider, service, account, day, cost) in enumerate(claims)
    ]
    await stage.write(0, rows)
    days = [FIRST + timedelta(days=number) for number in range(10)]
    await context.warehouse.load(stage, dates=days, date_field="ChargePeriodStart")
    return (await publish(context, CANDIDATES, VISIBLE, await usage_of(context, source))).rows


async def usage_of(context: WorldContext, provider: str) -> Slice:
    return await slice_of(context, CANDIDATES, VISIBLE, kind="usage", provider=provider)


async def costs(context: WorldContext, table: str) -> list[int]:
    return [int(row["BilledCost"]) for row in await asked(context, f"SELECT BilledCost FROM {table} ORDER BY 1")]
