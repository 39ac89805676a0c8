"""Words and ids of FOCUS charges that depend on the provider, by the procedure that all LLM providers share."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.procedures import load_procedures
from convergence.config.processors import ps_types
from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter
from convergence.processors.base import row_id
from convergence.processors.genai.billed import billed_amount
from convergence.processors.genai.cost import CostProcessor
from convergence.processors.genai.focus_units import focus_unit
from convergence.processors.genai.prices.lookup import PriceBook
from tests.unit.processors.priced import charge
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext

PRICE: dict[str, Any] = {
    "model": "m",
    "model_match": "m",
    "kind": "input",
    "unit": "1000000 Tokens",
    "processing": "standard",
    "above_input_tokens": 0,
    "price": Decimal(1),
    "currency": "USD",
    "effective_from": None,
    "effective_to": None,
    "source": "s",
    "source_version": "1",
}


def charges(*costs: Mapping[str, Any], configs: Path = CONFIGS) -> Sequence[Mapping[str, Any]]:
    """Return what the procedure makes of rows of `genai_cost_daily_unified`."""

    async def main() -> Sequence[Mapping[str, Any]]:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await warehouse.sync_routines(load_procedures(CONFIGS))
            context = WorldContext(None, warehouse, clock)
            context.configs_dir = configs
            stage = context.warehouse.stage("genai_cost_daily_unified")
            await stage.write(0, list(costs))
            await context.warehouse.load(stage, dates=[FIRST], date_field="usage_date")
            step = {"config": {"provider": "gemini"}, "destination": {"table": "cost_data_standard_1_3"}}
            await ps_types.load("genai.focus").execute(step, context)
            return (await context.warehouse.query("SELECT * FROM cost_data_standard_1_3 ORDER BY BilledCost")).rows
        finally:
            warehouse.close()

    return asyncio.run(main())


def test_two_prices_of_two_places_have_two_ids_of_one_sku() -> None:
    anywhere = charge("anthropic", "10", "m/1/input/standard/0@open")
    place = charge("anthropic", "11", "m/1/input/standard/0/us@2026-01-01")
    sku = "anthropic/m/1/input"
    found = [(row["SkuId"], row["SkuPriceId"]) for row in charges(anywhere, place)]
    assert found == [(sku, f"{sku}/standard/0"), (sku, f"{sku}/standard/0/us")]


def test_what_is_counted_is_a_meter_in_words() -> None:
    kinds = {
        "cached_input": ("Tokens", "Cached Input Tokens"),
        "web_search": ("Calls", "Web Search Calls"),
        "image": ("Images", "Images"),
        "second": ("Seconds", "Seconds"),
    }
    rows = charges(
        *(
            {**charge("openai", str(number), f"m/1/{kind}/standard/0@open"), "charge_kind": kind, "consumed_unit": unit}
            for number, (kind, (unit, _)) in enumerate(kinds.items(), 1)
        )
    )
    assert {row["x_ChargeKind"]: row["SkuMeter"] for row in rows} == {kind: meter for kind, (_, meter) in kinds.items()}


def test_a_provider_that_the_registry_does_not_name_stops_the_step() -> None:
    with pytest.raises(StepFailed, match="focus_providers has no row of acme_llm"):
        charges(charge("acme_llm", "1", "m/1/input/standard/0@open"))


def test_a_providers_own_file_is_enough_for_its_charges(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    names = {"service_provider": "Acme AI", "invoice_issuer": "Acme Inc", "publisher": "Acme AI", "service": "Acme API"}
    names |= {"host_provider": "Acme Cloud", "billing_account_type": "Wallet", "sub_account_type": "Room"}
    (configs / "acme_llm").mkdir()
    (configs / "acme_llm/provider.yml").write_text(json.dumps({"type": "llm", "focus": names}), "utf-8")
    (row,) = charges(charge("acme_llm", "1", "m/1/input/standard/0@open"), configs=configs)
    assert [row[name] for name in ("ServiceProviderName", "InvoiceIssuerName", "HostProviderName")] == [
        *("Acme AI", "Acme Inc", "Acme Cloud")
    ]
    assert (row["BillingAccountType"], row["SubAccountType"]) == ("Wallet", "Room")


def test_accounts_are_called_as_the_provider_calls_them() -> None:
    providers = ("anthropic", "azure_openai", "gemini", "openai")
    rows = charges(
        *(charge(name, str(number), "m/1/input/standard/0@open") for number, name in enumerate(providers, 1))
    )
    found = {row["x_Provider"]: (row["BillingAccountType"], row["SubAccountType"]) for row in rows}
    assert found == {
        "anthropic": ("Organization", "Workspace"),
        "azure_openai": ("Billing Account", "Subscription"),
        "gemini": ("Billing Account", "Project"),
        "openai": ("Organization", "Project"),
    }


def billed(*lines: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what the procedures make of rows of `genai_billing_daily_raw`."""

    async def main() -> Sequence[Mapping[str, Any]]:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await warehouse.sync_routines(load_procedures(CONFIGS))
            context = WorldContext(None, warehouse, clock)
            await context.warehouse.ensure_table("genai_cost_daily_unified")
            stage = context.warehouse.stage("genai_billing_daily_raw")
            await stage.write(0, list(lines))
            await context.warehouse.load(stage, dates=[FIRST], date_field="usage_date")
            names = ("org_slug", "pipeline_id", "credential_id", "run_id")
            arguments = {f"p_{name}": Parameter("STRING", getattr(context, name)) for name in names}
            arguments |= {f"p_{name}": Parameter("DATE", FIRST) for name in ("start_date", "end_date")}
            arguments["p_provider"] = Parameter("STRING", "gemini")
            await context.warehouse.call("sp_genai_consolidate_billed_cost", arguments)
            step = {"config": {"provider": "gemini"}, "destination": {"table": "cost_data_standard_1_3"}}
            await ps_types.load("genai.focus").execute(step, context)
            return (await context.warehouse.query("SELECT * FROM cost_data_standard_1_3 ORDER BY BilledCost")).rows
        finally:
            warehouse.close()

    return asyncio.run(main())


LINE: dict[str, Any] = {
    "usage_date": FIRST.isoformat(),
    "provider": "gemini",
    "account_id": "A",
    "service": "Gemini API",
    "sku_id": "S",
    "sku": "Words",
    "cost": "1",
    "currency": "USD",
    "cost_type": "regular",
}


def test_taxes_and_adjustments_have_no_sku_and_the_month_is_that_of_the_invoice() -> None:
    lines = [
        {**LINE, "cost_type": "tax", "cost": "2", "row_id": "t"},
        {**LINE, "cost_type": "adjustment", "cost": "3", "row_id": "a"},
        {**LINE, "cost_type": "rounding_error", "cost": "-0.01", "row_id": "r"},
        {**LINE, "invoice_month": "202512", "cost": "5", "row_id": "m"},
    ]
    rounding, tax, adjustment, later = billed(*lines)
    assert [row["ChargeCategory"] for row in (rounding, tax, adjustment, later)] == [
        *("Adjustment", "Tax", "Adjustment", "Usage")
    ]
    assert {(row["SkuId"], row["SkuMeter"]) for row in (rounding, tax, adjustment)} == {(None, None)}
    assert [row["BillingPeriodStart"].month for row in (tax, later)] == [
        11,
        12,
    ]  # billed in December
    assert (later["ChargePeriodStart"].date(), later["x_SourceRowId"]) == (FIRST, "m")


def test_a_row_without_a_price_block_has_its_sku_and_no_price() -> None:
    (row,) = billed({**LINE, "list_cost": "2", "contracted_cost": "1.5", "grants": "-0.25", "cost": "1.25"})[1:]
    assert (row["SkuId"], row["SkuMeter"], row["SkuPriceId"]) == ("S", "Words", None)
    assert [row[name] for name in ("PricingQuantity", "PricingUnit", "ListUnitPrice", "PricingCategory")] == [None] * 4
    assert [row[name] for name in ("BilledCost", "ContractedCost", "ListCost")] == [
        *(Decimal("1.5"), Decimal("1.5"), Decimal(2))
    ]


class Priced(CostProcessor):
    """One charge for each row of usage."""

    def cost_rows(self, usage: Mapping[str, Any], book: PriceBook) -> list[dict[str, Any]]:
        return [{"charge_kind": "input"}]


@pytest.mark.parametrize(("place", "region"), [("us", "us"), ("global", None), ("not_available", None), (None, None)])
def test_a_charge_names_its_raw_row_account_and_a_place_that_is_one(place: str | None, region: str | None) -> None:
    usage = {"inference_geo": place, "account_id": "org-1", "x_pipeline_id": "p", "row_id": "0f"}
    book = PriceBook([PRICE])
    assert list(Priced().charges(usage, book)) == [
        {
            "charge_kind": "input",
            "account_id": "org-1",
            "region": region,
            "source_pipeline_id": "p",
            "source_row_id": "0f",
        }
    ]


def test_a_row_has_one_id_in_every_pipeline_and_another_one_for_another_key() -> None:
    first = {"day": FIRST, "model": "m", "tokens": 1}
    assert row_id(first, ("day", "model")) == row_id({**first, "tokens": 2}, ("day", "model"))
    ids = {row_id({**first, "model": model}, ("day", "model")) for model in ("m", "n", None, "None")}
    assert len(ids) == 4
    assert all(len(each) == 16 for each in ids)


@pytest.mark.parametrize(
    ("unit", "size", "expected"),
    [
        ("count", 1_000_000, "1000000 Count"),
        ("hour", 1, "Hours"),
        ("gibibyte month", 1, "GiB-Months"),
        ("token unit", 1000, "1000 Token-Unit"),
    ],
)
def test_units_of_an_export_in_the_words_of_focus(unit: str, size: int, expected: str) -> None:
    assert focus_unit(unit, Decimal(size)) == expected


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1,5", "", None, True, float("nan")])
def test_a_bill_over_no_number_is_refused(value: Any) -> None:
    with pytest.raises(StepFailed, match=r"the bill: the amount is .*, which is not a number; nothing was loaded"):
        billed_amount(value, "the bill")


def test_a_billed_amount_keeps_every_digit() -> None:
    assert [str(billed_amount(value, "")) for value in ("-0.10", 5, Decimal("1E-18"))] == ["-0.10", "5", "1E-18"]
