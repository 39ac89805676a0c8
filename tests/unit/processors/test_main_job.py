"""Both OpenAI pipelines as they stand in configs/, step by step in plan order: from a key to FOCUS 1.3 charges."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.procedures import load_procedures
from convergence.sandbox import ADMIN_KEY, Sandbox, bill
from tests.unit.processors.plans import plan_of, run
from tests.unit.processors.step_world import CONFIGS, FIRST, LAST, ManualClock, Vault, WorldContext

MANDATORY = {
    name
    for name, _, level in (
        line.partition(" ")
        for line in (CONFIGS.parent / "tests/repo/focus_1_3_columns.txt").read_text("utf-8").splitlines()
    )
    if level == "M"
}


async def main_job(*, times: int = 1) -> tuple[dict[str, Mapping[str, Any]], list[dict[str, Any]], Vault]:
    """Set up, then run the usage pipeline; return its results, the FOCUS rows, and the vault."""
    clock, sandbox = ManualClock(), Sandbox()
    warehouse = DuckDbWarehouse(None, clock=clock)
    vault = Vault({"api_key": ADMIN_KEY, "openai": ADMIN_KEY})
    base_url = await sandbox.start()
    try:
        async with httpx.AsyncClient() as client:
            context = WorldContext(client, warehouse, clock, secrets=vault, credentials=vault)
            await warehouse.sync_routines(load_procedures(CONFIGS))
            dates = {"start_date": FIRST.isoformat(), "end_date": LAST.isoformat()}
            await run(plan_of("openai/auth/setup", api_key=ADMIN_KEY, api_base_url=base_url), context)
            for _ in range(times):
                results = await run(plan_of("openai/cost/usage_cost", api_base_url=base_url, **dates), context)
            rows = await context.warehouse.query("SELECT * FROM cost_data_standard_1_3", rows_max=100_000)
            return results, rows.rows, vault
    finally:
        await sandbox.stop()
        warehouse.close()


@pytest.fixture(scope="module")
def job() -> tuple[dict[str, Mapping[str, Any]], list[dict[str, Any]], Vault]:
    return asyncio.run(main_job())


Job = tuple[dict[str, Mapping[str, Any]], list[dict[str, Any]], Vault]


def test_every_priced_charge_becomes_one_focus_row_and_the_sums_agree(job: Job) -> None:
    results, rows, vault = job
    assert vault.marks == [("openai", True, "")]
    computed = [row for row in rows if row["x_CostOrigin"] == "computed"]
    assert sum(row["BilledCost"] for row in computed) == Decimal(results["calculate_costs"]["total_cost"]) > 200
    assert len(computed) == results["consolidate_costs"]["rows_written"]
    assert len(rows) == results["convert_focus"]["rows_written"]
    # What the bill has beyond it is there too: the whole is the bill, as the sandbox made it.
    assert sum(row["BilledCost"] for row in rows) == Decimal(results["validate_costs"]["provider_cost"]) == billed()
    residuals = [row for row in rows if row["x_CostOrigin"] == "residual"]
    assert {row["x_DifferenceClass"] for row in residuals} <= {"price", "missing_price", "not_billed", "late_data"}
    assert {row["ChargeCategory"] for row in residuals} == {"Adjustment"}


def billed() -> Decimal:
    start = int(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC).timestamp())
    end = start + ((LAST - FIRST).days + 1) * 86_400
    return sum((charge.amount for charge in bill.charges(start, end)), Decimal(0))


def priced(job: Job) -> list[dict[str, Any]]:
    return [row for row in job[1] if row["SkuPriceId"] is not None]


def test_no_result_holds_the_key(job: Job) -> None:
    assert ADMIN_KEY not in json.dumps(job[0])


def test_mandatory_columns_are_filled(job: Job) -> None:
    assert len(MANDATORY) == 17
    empty = {name for row in job[1] for name in MANDATORY if row[name] in (None, "")}
    assert empty == set()


def test_prices_and_units_are_there_together_and_multiply_to_the_costs(job: Job) -> None:
    for row in priced(job):
        assert row["ListCost"] == row["ListUnitPrice"] * row["PricingQuantity"]  # to the last digit
        assert row["ListCost"] == row["ContractedCost"] == row["EffectiveCost"] == row["BilledCost"]
        assert all(row[name] for name in ("SkuId", "SkuPriceId", "PricingUnit", "ConsumedQuantity", "ConsumedUnit"))
    units = {row["PricingUnit"]: row["ConsumedUnit"] for row in priced(job)}
    assert units == {
        "1000000 Tokens": "Tokens",
        "1000000 Characters": "Characters",
        "1000 Calls": "Calls",
        "Seconds": "Seconds",  # a count of seconds is not a finite number of hours
    }


def test_a_sku_price_has_one_sku_and_one_list_price_a_day(job: Job) -> None:
    skus = {(row["SkuPriceId"], row["SkuId"]) for row in priced(job)}
    prices = {(row["SkuPriceId"], row["ChargePeriodStart"], row["ListUnitPrice"]) for row in priced(job)}
    assert len(skus) == len({row["SkuPriceId"] for row in priced(job)})
    assert len(prices) == len({key[:2] for key in prices})


def test_periods_are_half_open_and_a_charge_lies_inside_its_month(job: Job) -> None:
    assert {row["BillingPeriodStart"] for row in job[1]} == {datetime(2026, 11, 1, tzinfo=UTC)}
    assert {row["BillingPeriodEnd"] for row in job[1]} == {datetime(2026, 12, 1, tzinfo=UTC)}
    assert all((row["ChargePeriodEnd"] - row["ChargePeriodStart"]).days == 1 for row in job[1])


def test_sku_details_are_json_with_our_keys(job: Job) -> None:
    details = [json.loads(row["SkuPriceDetails"]) for row in priced(job)]
    assert all(name.startswith("x_") for detail in details for name in detail)
    assert {detail["x_Processing"] for detail in details} == {"standard", "batch", "flex", "priority"}


def test_rows_carry_the_lineage_of_their_day(job: Job) -> None:
    for row in job[1]:
        assert row["x_pipeline_run_date"] == row["ChargePeriodStart"].date()
        assert (row["x_org_slug"], row["x_pipeline_id"]) == ("acme", "acme-openai-cost-usage-cost")
        assert (row["x_credential_id"], row["x_run_id"]) == ("cred_1", "run_1")
        assert row["x_ingestion_date"] == row["x_ingested_at"].date()


def test_a_second_run_of_the_same_days_leaves_the_same_charges(job: Job) -> None:
    again = asyncio.run(main_job(times=2))[1]

    def charges(rows: list[dict[str, Any]]) -> list[str]:
        return sorted(str({name: row[name] for name in row if name != "x_ingested_at"}) for row in rows)

    assert charges(again) == charges(job[1])
