"""Commitments: every invoice is spread over its days to the last digit, used or not; charges, contracts, precedence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.errors import StepFailed
from convergence.processors.genai.commitment_cost import cost_rows
from convergence.processors.genai.commitment_terms import CommitmentEditor
from convergence.processors.genai.commitment_usage import usage_rows
from convergence.processors.genai.commitments.terms import Commitment
from convergence.processors.genai.contract_commitment import contract_row
from convergence.processors.records import record_of
from convergence.sandbox import azure
from tests.unit.processors.bills import put
from tests.unit.processors.focus_charges import VISIBLE
from tests.unit.processors.installation import Here, installed
from tests.unit.processors.installation import days as span

COST, EDIT = "genai/commitment/commitment_cost", "genai/commitment/edit"
FIRST, LAST = date(2026, 11, 10), date(2026, 11, 13)
DAYS = [FIRST + timedelta(days=number) for number in range(4)]
PTU = {"commitment_id": "c", "provider": "azure_openai", "units": "15", "unit_price": "260", "currency": "USD",
       "starts_on": "2026-11-11", "ends_on": "2027-02-10", "resource": "coding",
       "billing_account_id": "b-1"}  # fmt: skip


def a_commitment(**fields: Any) -> Commitment:
    return record_of(Commitment, {**PTU, **fields}, "term")


@settings(max_examples=60, deadline=None)
@given(
    months=st.integers(1, 14),
    starts_on=st.dates(date(2024, 1, 1), date(2027, 12, 28)),
    units=st.integers(1, 900),
    price=st.decimals("0.01", 9999, places=4),
    cycle=st.sampled_from(["monthly", "annual", "upfront", "hourly"]),
    shares=st.lists(st.decimals(0, 1, places=3), min_size=7, max_size=7),
)
def test_effective_cost_over_the_term_is_what_was_billed(
    months: int, starts_on: date, units: int, price: Decimal, cycle: str, shares: list[Decimal]
) -> None:
    ends_on = starts_on + timedelta(days=30 * months)
    each = a_commitment(provider="bedrock", units=units, unit_price=price, billing_cycle=cycle, starts_on=starts_on,
                        ends_on=ends_on)  # fmt: skip
    used = {
        (starts_on + timedelta(days=number), "c"): None if number % 5 == 4 else shares[number % 7] * each.unit_hours
        for number in range((ends_on - starts_on).days + 1)
    }
    rows = list(cost_rows(each, starts_on, ends_on, used))
    billed = sum((row["billed_cost"] for row in rows), Decimal(0))
    assert billed == sum((row["effective_cost"] for row in rows), Decimal(0)) == each.total() > 0
    hours = sum(row["quantity"] for row in rows if row["kind"] != "purchase")
    assert hours == units * 24 * len(used)
    assert {row["usage_date"] for row in rows if row["kind"] != "purchase"} == {day for day, _ in used}


def test_a_day_is_split_by_the_tokens_that_the_units_served() -> None:
    each = a_commitment(tokens_per_unit_minute="1000", output_weight="4", units=1)
    counted = {(FIRST, "azure_openai", "coding"): (Decimal(480_000), Decimal(30_000))}  # 600,000: ten unit-hours
    read = {(FIRST, "azure_openai"), (DAYS[1], "azure_openai")}
    early = a_commitment(commitment_id="early", tokens_per_unit_minute="1000", output_weight="4", units=1,
                         starts_on=FIRST, ends_on=LAST)  # fmt: skip
    assert list(usage_rows([each], FIRST, counted, read)) == [], "it has not begun"
    (row,) = usage_rows([early], FIRST, counted, read)
    assert (row["used_quantity"], row["committed_quantity"], row["unit"]) == (10, 24, "PTU-Hours")
    # What one commitment serves, the next one does not; what neither serves is not theirs.
    many = {(DAYS[1], "azure_openai", "coding"): (Decimal(2_400_000), Decimal(0))}  # forty unit-hours
    found = {row["commitment_id"]: row["used_quantity"] for row in usage_rows([each, early], DAYS[1], many, read)}
    assert found == {"early": 24, "c": 16}
    (row,) = usage_rows([each], DAYS[2], many, read)
    assert (row["used_quantity"], row["reason"]) == (None, "the tokens of azure_openai have not been read for this day")
    (row,) = usage_rows([each], DAYS[1], {}, read)
    assert row["used_quantity"] == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ends_on": "2026-11-10"}, "before it starts"),
        ({"ends_on": ""}, "ends_on: Field required"),
        ({"provider": "openai"}, "provider"),
        ({"billing_cycle": "hourly"}, "Azure bills throughput by the hour as usage"),
        ({"category": "Spend", "units": ""}, "sells units"),
        ({"category": "Spend", "provider": "aws"}, "has no units"),
        ({"provider": "aws"}, "name the unit that aws counts"),
        ({"resource": "", "tokens_per_unit_minute": "5"}, "needs the resource"),
        ({"contract_ends_on": "2027-01-01"}, "does not cover"),
        ({"currency": "XXZ"}, "ISO 4217"),
        ({"unit_price": "NaN"}, "unit_price"),
    ],
)
def test_a_commitment_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        a_commitment(**fields)


def test_commitments_of_one_contract_have_its_days() -> None:
    one = a_commitment(contract_id="k", contract_starts_on="2026-01-01", contract_ends_on="2027-12-31")
    with pytest.raises(StepFailed, match="the contract k has other days in c than in d"):
        CommitmentEditor().refuse_contradictions([one, a_commitment(commitment_id="d", contract_id="k")])


def test_the_row_of_a_contract_has_the_columns_of_focus() -> None:
    spend = a_commitment(provider="aws", category="Spend", units="", unit_price="10", billing_cycle="hourly",
                         commitment_type="Savings Plan", ends_on="2026-11-12", contract_id="k")  # fmt: skip
    assert contract_row(spend) == {
        "BillingCurrency": "USD",
        "ContractCommitmentCategory": "Spend",
        "ContractCommitmentCost": Decimal(480),  # ten an hour, for two days
        "ContractCommitmentDescription": "Savings Plan coding",
        "ContractCommitmentId": "c",
        "ContractCommitmentPeriodEnd": datetime(2026, 11, 13, tzinfo=UTC),
        "ContractCommitmentPeriodStart": datetime(2026, 11, 11, tzinfo=UTC),
        "ContractCommitmentQuantity": None,
        "ContractCommitmentType": "Savings Plan",
        "ContractCommitmentUnit": None,
        "ContractId": "k",
        "ContractPeriodEnd": datetime(2026, 11, 13, tzinfo=UTC),
        "ContractPeriodStart": datetime(2026, 11, 11, tzinfo=UTC),
        "x_Terms": '{"ContractCommitmentPaymentInterval":"Custom","ContractCommitmentPaymentModel":"No Upfront"}',
    }
    usage = contract_row(a_commitment(focus_terms='{"ContractCommitmentModel": "Continuous"}'))
    assert '"ContractCommitmentModel":"Continuous"' in str(usage["x_Terms"])
    assert (usage["ContractCommitmentQuantity"], usage["ContractCommitmentUnit"]) == (15 * 24 * 92, "PTU-Hours")
    assert usage["ContractCommitmentCost"] == Decimal(260 * 15 * 3)


def in_installation(folder: Path, work: Callable[[Here], Awaitable[None]]) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await work(here)

    asyncio.run(main())


def test_commitments_become_charges_and_a_bill_counts_in_their_place(tmp_path: Path) -> None:
    text = "commitment_id,provider,units,unit_price,currency,billing_cycle,starts_on,ends_on,resource," + (
        "tokens_per_unit_minute,output_weight,list_unit_price,billing_account_id\n"
    )
    lines = (
        "ptu,azure_openai,15,260,USD,monthly,2026-11-11,2027-02-10,coding,1250,4,1,b-1\n"
        "unit,bedrock,1,21.18,EUR,hourly,2026-11-01,2026-11-30,,,,,b-2\n"
    )

    async def work(here: Here) -> None:
        await here.set_up("azure_openai")
        await here.good("genai/payg/azure_openai", **here.asks("azure_openai"), **span(FIRST, LAST), kept_days=3660)
        tokens = (await here.rows(f"SELECT SUM(BilledCost) AS cost FROM {VISIBLE}"))[0]["cost"]
        edited = await here.good(EDIT, action="import", commitments_csv=text + lines)
        assert [each["commitment_id"] for each in edited["store_terms"]["commitments"]] == ["ptu", "unit"]
        (contract,) = await here.rows("SELECT * FROM contract_commitment_1_3 WHERE ContractCommitmentId = 'ptu'")
        assert (contract["ContractCommitmentCost"], contract["ContractId"]) == (Decimal(260 * 15 * 3), "ptu")
        for _ in range(2):
            gate = (await here.good(COST, **span(FIRST, LAST)))["validate_focus"]
        assert set(gate["focus"]["failed"]) == {"CAU-CommitmentDiscountStatus-C-004-C", "OWN-ConsumedQuantity-C-006-C"}
        rows = await here.rows(f"SELECT * FROM {VISIBLE} WHERE x_Provider = 'commitment' ORDER BY ChargePeriodStart")
        ptu = [row for row in rows if row["CommitmentDiscountId"] == "ptu"]
        (purchase,) = (row for row in ptu if row["ChargeCategory"] == "Purchase")
        assert (purchase["BilledCost"], purchase["EffectiveCost"], purchase["ResourceId"]) == (3900, 0, "ptu")
        assert (purchase["PricingQuantity"], purchase["PricingUnit"]) == (15, "PTU-Months")
        applied = json.loads(purchase["ContractApplied"])["Elements"]
        assert applied == [
            {
                "ContractId": "ptu",
                "ContractCommitmentID": "ptu",
                "ContractCommitmentAppliedCost": 3900,
                "ContractCommitmentAppliedQuantity": 15 * 24 * 30,
                "ContractCommitmentAppliedUnit": "PTU-Hours",
            }
        ]
        # Another way to the same figures: the sandbox's own tokens, and a thirtieth of the month for each day.
        for day in DAYS[1:]:
            counted = azure.usage(day)["coding"]
            hours = Decimal(counted["input"] + counted["cached"] + 4 * counted["output"]) / (1250 * 60)
            parts = {row["CommitmentDiscountStatus"]: row for row in ptu
                     if row["x_pipeline_run_date"] == day and row["ChargeCategory"] == "Usage"}  # fmt: skip
            used, unused = parts["Used"], parts["Unused"]
            assert abs(used["ConsumedQuantity"] - hours) < Decimal("1e-8")
            assert 0 < hours < 360
            assert used["ConsumedQuantity"] + unused["PricingQuantity"] == 360
            assert used["EffectiveCost"] + unused["EffectiveCost"] == 130
            assert abs(used["EffectiveCost"] - hours * 130 / 360) < Decimal("1e-8")
            assert (used["ResourceId"], unused["ResourceId"], unused["ConsumedQuantity"]) == ("coding", "ptu", None)
            assert used["ListCost"] == used["PricingQuantity"], "a dollar for each hour without the commitment"
        unit = [row for row in rows if row["CommitmentDiscountId"] == "unit"]
        assert sum(row["BilledCost"] for row in unit) == sum(row["EffectiveCost"] for row in unit)
        assert sum(row["BilledCost"] for row in unit) == Decimal("21.18") * 24 * 4
        assert {row["CommitmentDiscountStatus"] for row in unit} == {None}
        # Tokens that Azure bills beside the reservation count too; the bill of the account counts in its place.
        (mine,) = await here.rows(f"SELECT SUM(BilledCost) AS cost FROM {VISIBLE} WHERE x_Provider = 'azure_openai'")
        assert mine["cost"] == tokens > 0
        await bill_of_azure(here, tmp_path, DAYS[1])
        (left,) = await here.rows(
            "SELECT SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective, COUNT(DISTINCT x_Provider) AS sources"
            f" FROM {VISIBLE} WHERE BillingAccountId = 'b-1' AND x_Provider IN ('commitment', 'focus')"
        )
        assert left == {"billed": 3900, "effective": 3900, "sources": 1}, "its purchase is on the bill"
        reasons = await here.rows("SELECT DISTINCT x_SupersededReason AS reason FROM cost_data_superseded")
        assert reasons == [{"reason": "rule azure_commitments_in_files: charges of focus count"}]
        # Taken away: neither charges nor a contract.
        await here.good(EDIT, action="remove", commitment_id="unit")
        await here.good(COST, **span(FIRST, LAST))
        kept = await here.rows("SELECT ContractCommitmentId AS id FROM contract_commitment_1_3")
        assert kept == [{"id": "ptu"}]
        of_contracts = "SELECT DISTINCT BillingAccountId AS a FROM {} WHERE x_Provider = 'commitment'"
        assert await here.rows(of_contracts.format(VISIBLE)) == []
        assert await here.rows(of_contracts.format("cost_data_superseded")) == [{"a": "b-1"}]

    in_installation(tmp_path, work)


def test_days_of_an_invoice_at_other_terms_are_refused(tmp_path: Path) -> None:
    terms = {"provider_name": "azure_openai", "unit_price": "260", "currency": "USD", "starts_on": "2026-11-01",
             "ends_on": "2026-12-31", "commitment_id": "ptu"}  # fmt: skip
    sums = "SELECT SUM(billed_cost) AS b, SUM(effective_cost) AS e FROM genai_commitment_costs_daily"

    async def work(here: Here) -> None:
        await here.good(EDIT, action="set", units="15", **terms)
        await here.good(COST, **span(date(2026, 11, 1), date(2026, 11, 3)))
        await here.good(EDIT, action="set", units="30", **terms)
        with pytest.raises(AssertionError, match="Run 2026-11-01 to 2026-11-30 at once"):
            await here.good(COST, **span(date(2026, 11, 4), date(2026, 11, 30)))
        assert await here.rows(sums) == [{"b": 3900, "e": 390}], "nothing was changed"
        await here.good(COST, **span(date(2026, 11, 1), date(2026, 11, 30)))
        await here.good(COST, **span(date(2026, 12, 1), date(2026, 12, 31)))
        assert await here.rows(sums) == [{"b": 15600, "e": 15600}]

    in_installation(tmp_path, work)


def test_a_year_that_the_bill_has_as_one_purchase_counts_once(tmp_path: Path) -> None:
    """The bill has 3,900 on one day; the contract spreads them over 365: 20 of them in November, 31 in December."""
    year = {"provider_name": "azure_openai", "units": "15", "unit_price": "260", "currency": "USD",
            "billing_cycle": "annual", "starts_on": "2026-11-11", "ends_on": "2027-11-10", "commitment_id": "ptu",
            "billing_account_id": "b-1"}  # fmt: skip
    months = [span(date(2026, 11, 11), date(2026, 11, 30)), span(date(2026, 12, 1), date(2026, 12, 31))]
    sums = (
        "SELECT SUM(BilledCost) AS billed, ROUND(SUM(EffectiveCost), 2) AS effective"
        f" FROM {VISIBLE} WHERE BillingAccountId = 'b-1'"
    )
    spread = "SELECT SUM(effective_cost) AS cost FROM genai_commitment_costs_daily WHERE usage_date > '2026-11-30'"
    december = (Decimal(3900) * 31 / 365).quantize(Decimal("0.01"))

    async def work(here: Here) -> None:
        await bill_of_azure(here, tmp_path, date(2026, 11, 11))
        for more, effective in (({}, 3900 + december), ({"billed_by": "bill"}, Decimal(3900))):
            await here.good(EDIT, action="set", **year, **more)
            for month in months:
                await here.good(COST, **month)
            assert await here.rows(sums) == [{"billed": 3900, "effective": effective}], more
            (row,) = await here.rows(spread)
            assert row["cost"].quantize(Decimal("0.01")) == december, "what a day is worth is known all the same"
        (contract,) = await here.rows("SELECT ContractCommitmentCost AS cost FROM contract_commitment_1_3")
        assert contract["cost"] == 3900

    in_installation(tmp_path, work)


async def bill_of_azure(here: Here, data: Path, day: date) -> None:
    """Import a FOCUS file in which Azure bills the account of the commitment on one day."""
    month, following = day.replace(day=1), date(day.year, day.month + 1, 1)
    line = {
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), "3900"),
        **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName", "HostProviderName"), "Microsoft"),
        "BillingAccountId": "b-1",
        "BillingCurrency": "USD",
        "ChargeCategory": "Purchase",
        "BillingPeriodStart": f"{month}T00:00:00Z",
        "BillingPeriodEnd": f"{following}T00:00:00Z",
        "ChargePeriodStart": f"{day}T00:00:00Z",
        "ChargePeriodEnd": f"{day + timedelta(days=1)}T00:00:00Z",
        "ServiceName": "Azure OpenAI",
        "ServiceCategory": "AI and Machine Learning",
        "ChargeDescription": "PTU reservation",
        "ChargeFrequency": "Recurring",
    }
    text = ",".join(line) + "\n" + ",".join(line.values()) + "\n"
    put(data, f"focus/{day:%Y-%m}/bill.csv", text.encode())
    await here.good("focus/import", path="focus/%Y-%m/", **span(day, day))
