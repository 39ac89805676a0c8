"""The FOCUS gate on 1,000,000 charges, beside scans of the same rows.

The floor counts the nulls of all columns. DuckDB answers that from its statistics, without a scan, for a column that
has a value in every row of the table, or in none: so the table has two rows of another pipeline, one with every value
and one with hardly any, as where several sources share it. The other scan (number and largest value of each column)
reads every value once.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.providers import load_providers
from convergence.domain.sql_names import bigquery_name
from convergence.processors.focus.check import Verdict, check
from convergence.processors.focus.rules import load_rules
from convergence.processors.focus.settings import CANDIDATES, GateSettings
from convergence.processors.focus.slices import Slice, slice_of
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext

ROWS: Final = 1_000_000
ROUNDS: Final = 3
RATIO_MAX, FIXED_MAX_S, RSS_MAX_MIB = 12, 2, 500
DAY: Final = f"TIMESTAMP '{FIRST.isoformat()} 00:00:00+00'"
# Values of a column; those that are not named are NULL. n counts the rows.
VALUES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("BilledCost", "EffectiveCost", "ContractedCost", "PricingCurrencyEffectiveCost"), "quantity * 3"),
    "ListCost": "quantity * 4",
    **dict.fromkeys(("ContractedUnitPrice", "PricingCurrencyContractedUnitPrice"), "BIGNUMERIC '3'"),
    **dict.fromkeys(("ListUnitPrice", "PricingCurrencyListUnitPrice"), "BIGNUMERIC '4'"),
    "PricingQuantity": "quantity",
    "ConsumedQuantity": "IF(MOD(n, 100) = 0, NULL, quantity * 1000000)",
    **dict.fromkeys(("BillingAccountId", "BillingAccountName"), "CONCAT('account-', CAST(MOD(n, 10) AS STRING))"),
    "BillingAccountType": "'Organization'",
    **dict.fromkeys(("BillingCurrency", "PricingCurrency"), "'USD'"),
    "BillingPeriodStart": "TIMESTAMP '2026-11-01 00:00:00+00'",
    "BillingPeriodEnd": "TIMESTAMP '2026-12-01 00:00:00+00'",
    "ChargeCategory": "IF(MOD(n, 100) = 0, 'Purchase', 'Usage')",
    "ChargeDescription": "CONCAT('Tokens of model ', CAST(MOD(n, 50) AS STRING))",
    "ChargeFrequency": "IF(MOD(n, 100) = 0, 'Recurring', 'Usage-Based')",
    "ChargePeriodStart": f"TIMESTAMP_ADD({DAY}, INTERVAL MOD(n, 24) HOUR)",
    "ChargePeriodEnd": f"TIMESTAMP_ADD({DAY}, INTERVAL MOD(n, 24) + 1 HOUR)",
    "ConsumedUnit": "IF(MOD(n, 100) = 0, NULL, 'Tokens')",
    "PricingUnit": "'1000000 Tokens'",
    "PricingCategory": "'Standard'",
    **dict.fromkeys(("HostProviderName", "InvoiceIssuerName", "ProviderName", "PublisherName"), "'OpenAI'"),
    **dict.fromkeys(("ServiceProviderName", "x_Provider"), "'OpenAI'"),
    "ServiceCategory": "'AI and Machine Learning'",
    "ServiceSubcategory": "'Generative AI'",
    "ServiceName": "'OpenAI API'",
    **dict.fromkeys(("SkuId", "SkuMeter"), "CONCAT('sku-', CAST(MOD(n, 50) AS STRING))"),
    "SkuPriceId": "CONCAT('sku-', CAST(MOD(n, 50) AS STRING), '/standard')",
    "SkuPriceDetails": """CONCAT('{"x_Model": "model-', CAST(MOD(n, 50) AS STRING), '", "x_AboveInputTokens": 0}')""",
    **dict.fromkeys(("SubAccountId", "SubAccountName"), "CONCAT('project-', CAST(MOD(n, 5000) AS STRING))"),
    "SubAccountType": "'Project'",
    **dict.fromkeys(("RegionId", "RegionName"), "'eu'"),
    "Tags": """CONCAT('{"team": "t', CAST(MOD(n, 300) AS STRING), '"}')""",
    "x_ChargeId": "SUBSTR(TO_HEX(SHA256(CAST(n AS STRING))), 1, 16)",
    "x_SourceRowId": "CAST(n AS STRING)",
    "x_SourceTable": "'openai_usage_daily_raw'",
    "x_org_slug": "@org_slug",
    "x_pipeline_id": "@pipeline_id",
    "x_credential_id": "@credential_id",
    "x_pipeline_run_date": "@first_day",
    "x_run_id": "'r'",
}


def measure(rows: int = ROWS) -> dict[str, Any]:
    """Return seconds of the gate and of the scans (medians), their ratios, and the gate's seconds without a row."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), rows))


async def _measure(folder: Path, rows: int) -> dict[str, Any]:
    clock = ManualClock()
    warehouse = DuckDbWarehouse(folder / "warehouse.duckdb", clock=clock)
    try:
        context = WorldContext(None, warehouse, clock)
        await context.warehouse.ensure_table(CANDIDATES)
        begun = time.perf_counter()
        await _gate(context)  # imports and translates
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        await _gate(context)
        fixed = time.perf_counter() - begun
        await _fill(context, rows)
        gate, floor, read = [], [], []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            verdict = await _gate(context)
            gate.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            await _scan(context, "COUNTIF({column} IS NULL)")
            floor.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            await _scan(context, "COUNT({column})", "MAX({column})")
            read.append(time.perf_counter() - begun)
        assert verdict.rows == rows
        broken = [each.rule.id for each in verdict.outcomes if each.status == "failed"]
        assert not broken, broken
    finally:
        warehouse.close()
    ratio = statistics.median(gate) / statistics.median(floor)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "shape": "gate",
        "rows": rows,
        "rules": len(verdict.outcomes) - verdict.count("skipped"),
        "seconds": round(statistics.median(gate), 3),
        "floor_seconds": round(statistics.median(floor), 3),
        "ratio_to_floor": round(ratio, 2),
        "read_seconds": round(statistics.median(read), 3),
        "ratio_to_read": round(statistics.median(gate) / statistics.median(read), 2),
        "fixed_seconds": round(fixed, 3),
        "first_seconds": round(first, 3),
        "peak_rss_mib": round(peak),
        "kept": ratio <= RATIO_MAX and first <= FIXED_MAX_S and peak < RSS_MAX_MIB,
    }


async def _gate(context: WorldContext) -> Verdict:
    registry = load_providers(CONFIGS)
    issuers = [facts.focus.invoice_issuer for facts in registry.providers.values() if facts.focus is not None]
    return await check(GateSettings(), load_rules(CONFIGS, issuers), await _slice(context), CANDIDATES, context)


async def _slice(context: WorldContext) -> Slice:
    return await slice_of(context, CANDIDATES, CANDIDATES, kind="usage", provider="openai")


async def _fill(context: WorldContext, rows: int) -> None:
    names = ", ".join(map(bigquery_name, VALUES))
    values = ", ".join(VALUES.values())
    sql = (
        f"INSERT INTO {CANDIDATES} ({names}) SELECT {values} FROM"
        f" (SELECT n, CAST(MOD(n, 1000) + 1 AS BIGNUMERIC) / 8 AS quantity FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n)"
    )
    given = (await _slice(context)).parameters(sql)
    await context.warehouse.query(sql, given, write=True)
    await _beside(context)


async def _beside(context: WorldContext) -> None:
    """Add a row with a value in each column, and one that has only what says whose it is, both of another pipeline."""
    owned = {"x_org_slug": "@org_slug", "x_pipeline_id": "'another'", "x_pipeline_run_date": "@first_day"}
    types = {column.name: column.type for column in context.warehouse.schemas.get(CANDIDATES).columns}
    full = {name: f"CAST({'1' if kind == 'BIGNUMERIC' else DAY} AS {kind})" for name, kind in types.items()} | owned
    given = await _slice(context)
    for row in (full, owned):
        names = ", ".join(map(bigquery_name, row))
        sql = f"INSERT INTO {CANDIDATES} ({names}) SELECT {', '.join(row.values())}"
        await context.warehouse.query(sql, given.parameters(sql), write=True)


async def _scan(context: WorldContext, *each: str) -> None:
    """Ask for these aggregates of every column of the slice."""
    names = [f"t.{bigquery_name(column.name)}" for column in context.warehouse.schemas.get(CANDIDATES).columns]
    asked = ", ".join(
        f"{aggregate.format(column=name)} AS c{i}_{j}"
        for i, name in enumerate(names)
        for j, aggregate in enumerate(each)
    )
    chosen = await _slice(context)
    sql = f"SELECT {asked} FROM {CANDIDATES} AS t WHERE {chosen.mine}"
    await context.warehouse.query(sql, chosen.parameters(sql))
