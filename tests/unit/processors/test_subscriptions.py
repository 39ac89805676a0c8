"""`openai/subscriptions`: what was bought, at the price of the day, to the last cent of each month."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.openai.subscriptions import SubscriptionSettings, spans
from tests.unit.processors.installation import Here, days, installed

PLAN: dict[str, Any] = {"plan": "Team", "seat_type": "standard", "billing_cycle": "monthly", "seats_min": 2}
CHANGE = date(2026, 4, 2)
PLANS = [
    {**PLAN, "price_per_seat_month": Decimal(30), "currency": "USD", "effective_from": None, "effective_to": CHANGE},
    {**PLAN, "price_per_seat_month": Decimal(25), "currency": "USD", "effective_from": CHANGE, "effective_to": None},
]


def cut(starts: str, ends: str = "", seats: int = 5, **changed: Any) -> list[tuple[str, str, int]]:
    options = SubscriptionSettings.model_validate({"plan": "Team", "starts_on": starts, "ends_on": ends, **changed})
    found = spans(PLANS, options, date.fromisoformat(starts), seats)
    return [(str(span.first), str(span.last), int(span.price)) for span in found]


def test_a_contract_is_cut_where_the_price_changes() -> None:
    assert cut("2026-03-10") == [("2026-03-10", "2026-04-01", 30), ("2026-04-02", "None", 25)]
    assert cut("2026-03-10", "2026-04-02") == [("2026-03-10", "2026-04-01", 30), ("2026-04-02", "2026-04-02", 25)]
    assert cut("2026-03-10", "2026-04-01") == [("2026-03-10", "2026-04-01", 30)]
    assert cut("2026-05-01") == [("2026-05-01", "None", 25)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"plan": "Teem"}, "has no price of Teem, .* Did you mean 'Team"),
        ({"billing_cycle": "annual"}, "has no price of Team, standard seats paid annual"),
        ({"seats": 1}, "1 seats, but 2 is the smallest number"),
    ],
)
def test_what_the_list_does_not_have_is_not_a_free_seat(changed: dict[str, Any], message: str) -> None:
    seats = changed.pop("seats", 5)
    with pytest.raises(StepFailed, match=message):
        cut("2026-05-01", seats=seats, **changed)


def test_days_without_a_price_stop_the_step() -> None:
    options = SubscriptionSettings(plan="Team")
    with pytest.raises(StepFailed, match=r"no price of Team.* from 2026-04-02 on"):
        spans(PLANS[:1], options, date(2026, 3, 1), 5)
    with pytest.raises(StepFailed, match="from 2026-03-01 on"):
        spans(PLANS[1:], options, date(2026, 3, 1), 5)


def test_seats_of_months_with_a_new_price_and_more_seats_add_up_exactly(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            await scenario(here)

    asyncio.run(work())


async def scenario(here: Here) -> None:
    pipeline = "openai/subscriptions"
    nothing = await here.run(pipeline)
    assert nothing.status == "failed"
    assert "no seats of OpenAI are known" in str(nothing.error)
    march_to_may = days(date(2026, 3, 1), date(2026, 5, 31))
    await here.good(pipeline, seats="7", starts_on="2026-03-11", **march_to_may)
    await here.good(pipeline, seats="10", starts_on="2026-05-01", **march_to_may)
    await here.good(pipeline, **march_to_may)  # the daily run: nothing new to tell
    months = await here.rows(
        "SELECT EXTRACT(MONTH FROM ChargePeriodStart) AS month, SUM(BilledCost) AS cost, COUNT(*) AS n"
        " FROM cost_data_standard_1_3 GROUP BY 1 ORDER BY 1"
    )
    # USD 30 until 2026-04-01, then 25. A day is the part of the seats that has accrued by its end less the day before,
    # to twelve digits.
    april = round(Decimal(7) / 30, 12) * 30 + (7 - round(Decimal(7) / 30, 12)) * 25
    march = (7 - round(Decimal(7 * 10) / 31, 12)) * 30
    assert [(row["month"], row["cost"], row["n"]) for row in months] == [(3, march, 21), (4, april, 30), (5, 250, 31)]
    rows = await here.rows("SELECT * FROM cost_data_standard_1_3")
    for row in rows:
        assert row["ListUnitPrice"] * row["PricingQuantity"] == row["ListCost"] == row["ContractedCost"]
    assert {(row["SkuId"], row["SkuPriceId"], row["x_PriceBasis"]) for row in rows} == {
        ("openai/ChatGPT Business/standard", "openai/ChatGPT Business/standard/monthly", "list")
    }
    await here.good(pipeline, seats="0", starts_on="2026-05-16", **march_to_may)
    (ended,) = await here.rows(
        "SELECT COUNT(*) AS n FROM cost_data_standard_1_3 WHERE ChargePeriodStart >= '2026-05-01'"
    )
    assert ended["n"] == 15


@pytest.mark.parametrize("price", ["20", "19.123457", "19.123456789"])
def test_a_month_of_any_price_is_seats_times_price_to_the_last_digit(tmp_path: Path, price: str) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            march = days(date(2026, 3, 1), date(2026, 3, 31))
            own = {"seats": "7", "starts_on": "2026-03-01", "price_per_seat_month": price}
            await here.good("openai/subscriptions", **own, **march)
            rows = await here.rows("SELECT * FROM cost_data_standard_1_3")
            assert sum(row["BilledCost"] for row in rows) == 7 * Decimal(price)
            assert sum(row["PricingQuantity"] for row in rows) == 7
            for row in rows:
                assert row["ContractedUnitPrice"] * row["PricingQuantity"] == row["BilledCost"]
                assert row["ListUnitPrice"] * row["PricingQuantity"] == row["ListCost"]

    asyncio.run(work())


def test_contracts_are_the_orgs_whichever_credential_a_run_has(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            april = days(date(2026, 4, 1), date(2026, 4, 30))
            await here.good("openai/subscriptions", seats="7", starts_on="2026-04-01", **april)
            before = await here.rows("SELECT SUM(BilledCost) AS cost FROM cost_data_standard_1_3")
            await here.set_up("openai")  # from now on runs have a credential
            await here.good("openai/subscriptions", **april)
            assert await here.rows("SELECT COUNT(*) AS n FROM subscriptions") == [{"n": 2}]  # a price of each span
            assert await here.rows("SELECT SUM(BilledCost) AS cost FROM cost_data_standard_1_3") == before
            # A contract that was entered by mistake can be taken back whole.
            await here.good("openai/subscriptions", seats="0", starts_on="2026-04-01", **april)
            assert await here.rows("SELECT 1 FROM cost_data_standard_1_3") == []

    asyncio.run(work())


def test_days_that_a_change_has_reached_and_the_run_does_not_charge_are_reported(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            reported = {"seats": "7", "starts_on": "2026-04-01"}
            late = await here.good("openai/subscriptions", **reported, **days(date(2026, 4, 20), date(2026, 4, 30)))
            (warning,) = late["store_subscriptions"]["warnings"]
            assert "start_date=2026-04-01 and end_date=2026-04-19 too" in warning
            whole = await here.good("openai/subscriptions", **reported, **days(date(2026, 4, 1), date(2026, 4, 30)))
            assert whole["store_subscriptions"]["warnings"] == []

    asyncio.run(work())


def test_a_price_of_the_orgs_own_stands_beside_the_list_price(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            may = days(date(2026, 5, 1), date(2026, 5, 31))
            own = {"seats": "5", "starts_on": "2026-05-01", "price_per_seat_month": "20", "billing_account_id": "org-1"}
            await here.good("openai/subscriptions", **own, billing_cycle="annual", **may)
            rows = await here.rows("SELECT * FROM cost_data_standard_1_3")
            assert {(row["ListUnitPrice"], row["ContractedUnitPrice"], row["x_PriceBasis"]) for row in rows} == {
                (Decimal(25), Decimal(20), "contract")
            }
            assert {(row["SkuPriceId"], row["BillingAccountId"]) for row in rows} == {
                ("openai/ChatGPT Business/standard/annual", "org-1")
            }
            sums = {name: sum(row[name] for row in rows) for name in ("ListCost", "ContractedCost", "BilledCost")}
            assert sums == {"ListCost": 125, "ContractedCost": 100, "BilledCost": 100}

    asyncio.run(work())


def test_an_own_price_paid_by_the_year_needs_no_list_price_of_that_cycle() -> None:
    options = {"plan": "Team", "starts_on": "2026-05-01", "billing_cycle": "annual", "price_per_seat_month": "20"}
    (span,) = spans(PLANS, SubscriptionSettings.model_validate(options), date(2026, 5, 1), 5)
    assert span.price == 25
