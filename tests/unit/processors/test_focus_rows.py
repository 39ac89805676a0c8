"""FOCUS rows of every provider against figures that the sandbox's raw data give, sharing no line with the pipelines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.sandbox import anthropic, azure, bill, google, openai
from tests.unit.processors.installation import Here, days, installed

FIRST, LAST = date(2026, 11, 10), date(2026, 11, 11)
DATES = (FIRST, LAST)
PROVIDERS = ("gemini", "vertex", "azure_openai")
START = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp())

Row = Mapping[str, Any]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Row]:
    async def main() -> Sequence[Row]:
        async with installed(tmp_path_factory.mktemp("focus")) as here:
            await here.set_up("openai", "anthropic", *PROVIDERS)
            for provider in PROVIDERS:
                await here.good(f"genai/payg/{provider}", **here.asks(provider), **days(FIRST, LAST))
            for pipeline in ("openai/cost/usage_cost", "anthropic/usage_cost"):
                await here.good(pipeline, api_base_url=here.url, **days(FIRST, LAST))
            return await here.rows("SELECT * FROM cost_data_standard_1_3")

    return asyncio.run(main())


def of(rows: Sequence[Row], provider: str, category: str = "Usage") -> list[Row]:
    return [row for row in rows if (row["x_Provider"], row["ChargeCategory"]) == (provider, category)]


def tokens(day: date, kind: str) -> int:
    return google.tokens(day)[kind]


@pytest.mark.parametrize("provider", ["gemini", "vertex"])
def test_a_google_sku_keeps_its_id_words_quantity_and_prices(rows: Sequence[Row], provider: str) -> None:
    listed = anthropic.prices()[f"gemini/{google.MODEL}"]
    found = of(rows, provider)
    assert len(found) == 3
    for row in found:
        kind = next(kind for kind, (sku, _, _) in google.SKUS.items() if sku == row["SkuId"])
        sku, words, key = google.SKUS[kind]
        count = tokens(row["ChargePeriodStart"].date(), kind)
        million = Decimal(listed[key]) * 1_000_000
        assert (row["SkuId"], row["SkuPriceId"], row["SkuMeter"]) == (sku, sku, words)
        assert (row["PricingQuantity"], row["PricingUnit"]) == (Decimal(count) / 1_000_000, "1000000 Count")
        assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == (count, "Count")
        assert (row["ListUnitPrice"], row["ContractedUnitPrice"]) == (million, million * Decimal("0.9"))
        assert row["ListCost"] == count * Decimal(listed[key])
        assert row["ContractedCost"] == count * Decimal(listed[key]) * Decimal("0.9")
        assert (row["PricingCategory"], row["x_CostOrigin"], row["x_Processing"]) == ("Standard", "billed", None)


@pytest.mark.parametrize("provider", ["gemini", "vertex"])
def test_discounts_reduce_their_row_and_grants_are_credits(rows: Sequence[Row], provider: str) -> None:
    for row in of(rows, provider):
        share = Decimal("0.95") if row["SkuId"] == "SBX-OUTPUT" else Decimal(1)
        assert row["BilledCost"] == row["EffectiveCost"] == row["ContractedCost"] * share
    (credit,) = of(rows, provider, "Credit")
    (granted,) = [row for row in of(rows, provider) if row["SkuId"] == "SBX-INPUT"]
    assert credit["BilledCost"] == granted["ContractedCost"] * Decimal("-0.1")
    assert credit["ContractedCost"] == credit["ListCost"] == credit["EffectiveCost"] == credit["BilledCost"]
    assert (credit["SkuPriceId"], credit["PricingQuantity"]) == (None, None)
    assert "Welcome credit" in credit["ChargeDescription"]
    service = {"gemini": "Gemini API", "vertex": "Vertex AI"}[provider]
    export = google.export(FIRST, LAST, [service])
    net = sum((Decimal(str(row["cost"])) + Decimal(str(row["credits"])) for row in export), Decimal(0))
    assert sum(row["BilledCost"] for row in rows if row["x_Provider"] == provider) == net


def test_google_charges_tell_place_labels_and_project(rows: Sequence[Row]) -> None:
    for row in of(rows, "gemini") + of(rows, "vertex"):
        assert (row["RegionId"], row["RegionName"]) == (google.REGION, google.REGION)
        assert json.loads(row["Tags"]) == {"team": "search"}
        assert (row["BillingAccountId"], row["SubAccountId"]) == (google.ACCOUNT, google.PROJECT)
        assert (row["BillingPeriodStart"], row["SubAccountName"]) == (datetime(2026, 11, 1, tzinfo=UTC), "Sandbox")


def test_one_issuer_has_one_name(rows: Sequence[Row]) -> None:
    names = {(row["x_Provider"], row["InvoiceIssuerName"], row["PublisherName"]) for row in rows}
    assert names == {
        ("openai", "OpenAI", "OpenAI"),
        ("anthropic", "Anthropic", "Anthropic"),
        ("gemini", "Google Cloud", "Google"),
        ("vertex", "Google Cloud", "Google"),
        ("azure_openai", "Microsoft", "Microsoft"),
    }
    issuers: dict[str, set[str]] = {}
    for row in rows:
        issuers.setdefault(row["BillingAccountId"], set()).add(row["InvoiceIssuerName"])
    accounts = (google.ACCOUNT, azure.ACCOUNT, openai.ORGANIZATION, anthropic.ORGANIZATION)
    assert {account: len(found) for account, found in issuers.items()} == dict.fromkeys(accounts, 1)


def test_azure_names_account_subscription_and_resource(rows: Sequence[Row]) -> None:
    prices = anthropic.prices()[f"azure/{azure.MODEL}"]
    found = of(rows, "azure_openai")
    assert len(found) == sum(len(azure.charges(day)) for day in DATES)
    for row in found:
        assert (row["BillingAccountId"], row["BillingAccountName"]) == (azure.ACCOUNT, "Sandbox Ltd")
        assert row["SubAccountId"] == azure.SUBSCRIPTION.rpartition("/")[2]
        assert (row["ResourceId"], row["ResourceName"]) == (azure.RESOURCE, "sandbox-openai")
        assert row["ResourceType"] == "Microsoft.CognitiveServices/accounts"
        kind = next(kind for kind, (_, meter_id, _) in azure.METERS.items() if meter_id == row["SkuId"])
        meter, meter_id, key = azure.METERS[kind]
        count, cost = azure.charges(row["ChargePeriodStart"].date())[kind]
        assert (row["SkuPriceId"], row["SkuMeter"]) == (meter_id, meter)
        assert (row["PricingQuantity"], row["PricingUnit"]) == (Decimal(count) / 1000, "1000 Units")
        assert row["ContractedUnitPrice"] == Decimal(prices[key]) * 1000
        assert row["BilledCost"] == row["ContractedCost"] == cost


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_residuals_close_every_account_and_day_against_the_bill(rows: Sequence[Row], provider: str) -> None:
    for number, day in enumerate(DATES):
        begin, end = START + number * 86_400, START + (number + 1) * 86_400
        if provider == "openai":
            billed = sum((charge.amount for charge in bill.charges(begin, end)), Decimal(0))
        else:
            billed = sum((amount for _, amount in anthropic.charges(begin, end)), Decimal(0))
        of_day = [row for row in rows if row["x_Provider"] == provider and row["ChargePeriodStart"].date() == day]
        assert sum(row["BilledCost"] for row in of_day) == billed > 0
        assert len({row["BillingAccountId"] for row in of_day}) == 1


def test_a_residual_says_why_and_a_charge_where_its_cost_comes_from(rows: Sequence[Row]) -> None:
    residuals = [row for row in rows if row["x_CostOrigin"] == "residual"]
    lines = {
        charge.line_item.rpartition(", ")[0]
        for charge in bill.charges(START, START + 2 * 86_400)
        if charge.line_item.endswith(", image")
    }
    images = [row for row in residuals if row["x_Model"] in lines]
    assert images
    assert {row["x_DifferenceClass"] for row in images} == {"missing_price"}
    for row in residuals:
        assert row["x_DifferenceClass"]
        assert (row["SkuPriceId"], row["PricingQuantity"], row["ConsumedQuantity"]) == (None, None, None)
        assert row["ListCost"] == row["ContractedCost"] == row["EffectiveCost"] == row["BilledCost"] != 0
    assert all(row["x_DifferenceClass"] is None for row in rows if row["x_CostOrigin"] != "residual")
    assert {row["x_CostOrigin"] for row in rows} == {"billed", "computed", "residual"}
    assert all(row["BillingAccountName"] for row in rows)


def test_price_times_quantity_is_the_cost_to_the_last_digit(rows: Sequence[Row]) -> None:
    priced = [row for row in rows if row["SkuPriceId"] is not None]
    assert len(priced) > 100
    for row in priced:
        assert row["ListUnitPrice"] * row["PricingQuantity"] == row["ListCost"]
        assert row["ContractedUnitPrice"] * row["PricingQuantity"] == row["ContractedCost"]
        assert row["ListUnitPrice"] == row["ListUnitPrice"].quantize(Decimal("1e-12"))
        assert row["PricingQuantity"] == row["PricingQuantity"].quantize(Decimal("1e-9"))


def test_every_charge_has_an_id_of_its_own(rows: Sequence[Row]) -> None:
    ids = [row["x_ChargeId"] for row in rows]
    assert len(set(ids)) == len(ids)


def test_days_without_a_bill_are_estimated_and_closed_once_it_is_read(tmp_path: Path) -> None:
    async def sums(here: Here) -> tuple[set[str], Decimal]:
        found = await here.rows("SELECT x_CostOrigin, BilledCost FROM cost_data_standard_1_3")
        return {row["x_CostOrigin"] for row in found}, sum((row["BilledCost"] for row in found), Decimal(0))

    async def main() -> None:
        async with installed(tmp_path) as here:
            await here.set_up("openai")
            asks = {"api_base_url": here.url, **days(FIRST, FIRST)}
            await here.good("genai/payg/openai", **asks)
            assert (await sums(here))[0] == {"estimated"}
            await here.good("openai/cost/usage_cost", **asks)
            billed = sum((charge.amount for charge in bill.charges(START, START + 86_400)), Decimal(0))
            assert await sums(here) == ({"computed", "residual"}, billed)
            await here.good("genai/payg/openai", **asks)  # takes the day over, and knows the bill by now
            assert await sums(here) == ({"computed", "residual"}, billed)

    asyncio.run(main())


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "azure_openai"])
def test_two_credentials_of_one_account_do_not_count_its_usage_twice(tmp_path: Path, provider: str) -> None:
    pipeline = f"genai/payg/{provider}"
    charged = "SELECT x_credential_id AS id, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY id"

    async def main() -> None:
        async with installed(tmp_path) as here:
            asks = {**here.asks(provider), **days(FIRST, LAST)}
            setup = {"api_base_url": here.url} if provider in {"openai", "anthropic"} else {}
            stored = {}
            for name in ("default", "second"):
                key = {"api_key": here.key(provider), "credential_name": name}
                results = await here.good(f"{provider}/auth/setup", **key, **setup)
                (stored[name],) = {each["credential_id"] for each in results.values() if "credential_id" in each}
            await here.good(pipeline, credential_id=stored["default"], **asks)
            before = await here.rows(charged)
            assert [row["id"] for row in before] == [stored["default"]]
            refused = await here.run(pipeline, credential_id=stored["second"], **asks)
            assert refused.status == "failed"
            assert f"of the credential {stored['default']}, and would count twice" in str(refused.error)
            assert await here.rows(charged) == before
            consolidated = await here.good("genai/unified/consolidate", **days(FIRST, LAST))
            (warning,) = consolidated["consolidate_usage"]["warnings"]
            assert f"left out the credential {stored['second']}" in warning
            await here.good(pipeline, credential_id=stored["default"], **asks)
            assert await here.rows(charged) == before

    asyncio.run(main())
