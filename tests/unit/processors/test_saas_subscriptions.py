"""SaaS subscriptions: every invoice is spread over its days to the last digit; plans, rates and charges end to end."""

from __future__ import annotations

import asyncio
import shutil
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.errors import StepFailed
from convergence.ports.warehouse import Scope, Statement
from convergence.processors.base import days
from convergence.processors.records import record_of, records_of_csv
from convergence.processors.subscription.periods import Invoice, cents, invoices
from convergence.processors.subscription.rates import Rates, rates_of_csv
from convergence.processors.subscription.terms import Term, successive
from tests.unit.processors.installation import CONFIGS, ORG, Here, installed
from tests.unit.processors.installation import days as span

COST = "subscription/costs/subscription_cost"
EDIT = "subscription/plans/edit"


def a_term(**fields: Any) -> Term:
    known = {"subscription_id": "s", "vendor": "V", "plan": "P", "seats": 3, "unit_price": "10", "currency": "USD",
             "starts_on": "2026-01-15"}  # fmt: skip
    return record_of(Term, {**known, **fields}, "term")


def invoiced(*terms: Term, first: str, last: str) -> list[Invoice]:
    (group,) = successive(terms)
    return list(invoices(group, date.fromisoformat(first), date.fromisoformat(last)))


def spread(invoice: Invoice) -> Decimal:
    return sum((invoice.share(day) for day in days(invoice.first, invoice.last)), Decimal(0))


@settings(max_examples=150, deadline=None)
@given(
    starts_on=st.dates(date(2020, 1, 1), date(2027, 12, 31)),
    seats=st.integers(1, 5000),
    price=st.decimals(0, 9999, places=4),
    cycle=st.sampled_from(["monthly", "quarterly", "annual"]),
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
    change=st.integers(1, 500),
)
def test_the_days_of_a_period_add_up_to_its_invoice(
    starts_on: date, seats: int, price: Decimal, cycle: str, currency: str, change: int
) -> None:
    later = starts_on + timedelta(days=change)
    given_: dict[str, Any] = {"unit_price": str(price), "billing_cycle": cycle, "currency": currency}
    terms = (a_term(starts_on=starts_on, seats=seats, **given_), a_term(starts_on=later, seats=seats + 1, **given_))
    (group,) = successive(terms)
    end = later + timedelta(days=400)
    found = [each for each in invoices(group, starts_on, end) if each.last <= end]
    assert all(spread(each) == each.amount == cents(each.amount, currency) for each in found)
    covered = [day for each in found for day in days(each.first, each.last)]
    assert covered == days(starts_on, covered[-1])  # no day twice, none left out
    assert {each.term.seats for each in found if each.last < later} <= {seats}


def anniversary(first: date, months: int) -> date:
    return date(first.year + (first.month - 1 + months) // 12, (first.month - 1 + months) % 12 + 1, first.day)


@settings(max_examples=100, deadline=None)
@given(
    starts_on=st.dates(date(2020, 1, 1), date(2027, 12, 31)).filter(lambda day: day.day <= 28),
    price=st.decimals("0.01", 999, places=3),
    seats=st.lists(st.integers(1, 500), min_size=2, max_size=6),
    same=st.booleans(),
    gaps=st.lists(st.integers(1, 40), min_size=5, max_size=5),
    cycle=st.sampled_from([("monthly", 1), ("quarterly", 3), ("annual", 12)]),
    currency=st.sampled_from([("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)]),
)
def test_a_change_within_a_period_loses_no_cent(
    starts_on: date,
    price: Decimal,
    seats: list[int],
    same: bool,
    gaps: list[int],
    cycle: tuple[str, int],
    currency: tuple[str, int],
) -> None:
    """With fractions: each change pays the rest of the period back and charges it anew, both in cents."""
    seats = [seats[0]] * len(seats) if same else seats
    begins = [starts_on + timedelta(days=sum(gaps[:number])) for number in range(len(seats))]
    facts: dict[str, Any] = {"unit_price": str(price), "billing_cycle": cycle[0], "currency": currency[0]}
    (group,) = successive([a_term(starts_on=day, seats=n, **facts) for day, n in zip(begins, seats, strict=True)])
    found = list(invoices(group, starts_on, anniversary(starts_on, 24)))

    def rounded(amount: Fraction) -> Fraction:
        return Fraction(int(amount * 10 ** currency[1] + Fraction(1, 2)), 10 ** currency[1])

    for number in range(24 // cycle[1]):
        start, end = (anniversary(starts_on, cycle[1] * each) for each in (number, number + 1))
        there = seats[sum(begin <= start for begin in begins) - 1]
        due = rounded(Fraction(price) * there)
        if not same:
            for day, before, after in zip(begins[1:], seats, seats[1:], strict=False):
                rest = Fraction(price) * max((end - day).days, 0) / (end - start).days if day > start else Fraction(0)
                due += rounded(rest * after) - rounded(rest * before)
        parts = [each for each in found if start <= each.first < end]
        assert sum(Fraction(each.amount) for each in parts) == due
        assert sum(Fraction(spread(each)) for each in parts) == due


@pytest.mark.parametrize(
    ("terms", "first", "last", "expected"),
    [
        # a whole month, from the 15th to the 14th
        ([a_term()], "2026-02-15", "2026-03-14", [("2026-02-15", "2026-03-14", "30.00")]),
        # five more seats for the last 10 of 31 days: 21/31 of 30 and 10/31 of 80
        ([a_term(), a_term(starts_on="2026-02-05", seats=8)], "2026-01-15", "2026-02-14",
         [("2026-01-15", "2026-02-04", "20.32"), ("2026-02-05", "2026-02-14", "25.81")]),
        # an upgrade to another plan at another price, likewise
        ([a_term(), a_term(starts_on="2026-02-05", plan="Pro", unit_price="20")], "2026-02-05", "2026-02-14",
         [("2026-02-05", "2026-02-14", "19.35")]),
        # the same seats on three accounts in turn: thirds of 10.00, and no cent is lost
        ([a_term(starts_on="2026-06-01", seats=1), a_term(starts_on="2026-06-11", seats=1, billing_account_id="b"),
          a_term(starts_on="2026-06-21", seats=1, billing_account_id="c")], "2026-06-01", "2026-06-30",
         [("2026-06-01", "2026-06-10", "3.33"), ("2026-06-11", "2026-06-20", "3.34"),
          ("2026-06-21", "2026-06-30", "3.33")]),
        # cancelled on the 24th: paid back by days, or not
        ([a_term(ends_on="2026-01-24")], "2026-01-01", "2026-12-31", [("2026-01-15", "2026-01-24", "9.68")]),
        ([a_term(ends_on="2026-01-24", refund="none")], "2026-01-01", "2026-12-31",
         [("2026-01-15", "2026-01-24", "30.00")]),
        # a trial, then periods from its end on
        ([a_term(trial_ends_on="2026-01-31")], "2026-01-01", "2026-03-01",
         [("2026-02-01", "2026-02-28", "30.00"), ("2026-03-01", "2026-03-31", "30.00")]),
        ([a_term(trial_ends_on="2026-01-31", ends_on="2026-01-20")], "2026-01-01", "2026-03-01", []),
        # paid for a leap year at once
        ([a_term(starts_on="2028-01-01", ends_on="2028-12-31", billing_cycle="annual", invoice_amount="1000.01")],
         "2028-02-29", "2028-02-29", [("2028-01-01", "2028-12-31", "1000.01")]),
        # the 31st of a month that has none
        ([a_term(starts_on="2026-01-31")], "2026-02-28", "2026-03-31",
         [("2026-02-28", "2026-03-30", "30.00"), ("2026-03-31", "2026-04-29", "30.00")]),
        # another anchor: the first days are a part of a period that began before
        ([a_term(billing_anchor="2026-02-01")], "2026-01-15", "2026-01-31", [("2026-01-15", "2026-01-31", "16.45")]),
        # from months to years: the year begins with the change
        ([a_term(), a_term(starts_on="2026-06-20", billing_cycle="annual", unit_price="100")],
         "2026-06-20", "2026-06-20", [("2026-06-20", "2027-06-19", "300.00")]),
        # bought again after a gap
        ([a_term(ends_on="2026-02-14"), a_term(starts_on="2026-03-01")], "2026-02-20", "2026-03-01",
         [("2026-03-01", "2026-03-31", "30.00")]),
        # yen have no cents
        ([a_term(currency="JPY", unit_price="1000", ends_on="2026-01-24")], "2026-01-15", "2026-01-15",
         [("2026-01-15", "2026-01-24", "968")]),
    ],
)  # fmt: skip
def test_what_is_invoiced(terms: list[Term], first: str, last: str, expected: list[tuple[str, str, str]]) -> None:
    found = invoiced(*terms, first=first, last=last)
    assert [(str(each.first), str(each.last), str(each.amount)) for each in found] == expected
    assert all(spread(each) == each.amount for each in found)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seats": "0"}, "seats: Input should be greater"),
        ({"currency": "XXZ"}, "currency: .*ISO 4217"),
        ({"unit_price": "NaN"}, "unit_price"),
        ({"ends_on": "2026-01-01"}, "ends on 2026-01-01, before it starts"),
        ({"trial_ends_on": "2026-01-01"}, "the trial ends on 2026-01-01"),
        ({"invoice_amount": "5"}, "needs ends_on"),
        ({"refund_on": "2026-02-01"}, "go together"),
        ({"seat": "1"}, "seat"),
    ],
)
def test_a_term_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        a_term(**fields)


def test_terms_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(StepFailed, match="covers this day already"):
        successive([a_term(ends_on="2026-03-01"), a_term(starts_on="2026-02-01")])
    with pytest.raises(StepFailed, match="two currencies"):
        successive([a_term(), a_term(starts_on="2026-02-01", currency="EUR")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plans:1: the header"),
        ("vendor,vendor\n", "plans:1: the header"),
        ("vendor,prize\n", "plans:1: the header"),
        ("vendor,plan\na\n", "plans:2: 1 fields, the header has 2"),
        ('vendor,plan\n"a\n', "plans:"),
        ("vendor,plan\na,b\n", "plans:2: .*subscription_id: Field required"),
    ],
)
def test_a_csv_of_plans_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        records_of_csv(Term, text, "plans")


ECB = "\ufeffDate,USD,GBP,\n2026-11-13,1.1500,0.8800,\n2026-11-12,1.2,N/A,\n"


def test_rates_are_those_of_the_day_or_of_the_last_one_before() -> None:
    rates = Rates(list(rates_of_csv(ECB, "ECB")))
    factor, *whence = rates.convert("USD", "EUR", date(2026, 11, 12))
    assert (factor.quantize(Decimal("1e-12")), *whence) == (Decimal("0.833333333333"), date(2026, 11, 12), "ECB")
    assert rates.convert("EUR", "GBP", date(2026, 11, 15)) == (Decimal("0.88"), date(2026, 11, 13), "ECB")
    for day in (date(2026, 11, 12), date(2026, 11, 21)):  # N/A, and more than a week
        with pytest.raises(StepFailed, match="no exchange rate of EUR to GBP"):
            rates.convert("EUR", "GBP", day)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rates:1"),
        ("Day,USD\n", "rates:1"),
        ("Date,USD,USD\n", "rates:1"),
        ("Date,DOLLAR\n", "rates:1: .*DOLLAR"),
        ("Date,USD\n2026/11/12,1.2\n", "rates:2: a line must be a date"),
        ("Date,USD\n2026-02-30,1.2\n", "rates:2: '2026-02-30' is not a date"),
        ("Date,USD\n2026-11-12\n", "rates:2"),
        ("Date,USD\n2026-11-12,1_2\n", "rates:2: the rate of USD is '1_2'"),
        ("Date,USD\n2026-11-12,0\n", "not a positive number"),
    ],
)
def test_a_file_of_rates_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        list(rates_of_csv(text, "ECB"))


def in_installation(folder: Path, work: Any) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await work(here)

    asyncio.run(main())


PLAN = {"subscription_id": "design", "vendor": "Example Design", "plan": "Team", "unit_price": "45", "currency": "USD"}
NOVEMBER = span(date(2026, 11, 1), date(2026, 11, 30))
SUMS = "SELECT period_start, SUM(cost) AS cost, SUM(converted_cost) AS converted FROM saas_subscription_cost_daily"


def test_plans_are_kept_and_become_charges(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        assert "no plan is stored" in (await here.good(COST, **NOVEMBER))["calculate_costs"]["warnings"][0]
        await here.good(EDIT, action="set", **PLAN, seats="12", starts_on="2026-11-01")
        edited = await here.good(EDIT, action="set", **PLAN, seats="15", starts_on="2026-11-12")
        assert edited["store_plans"]["terms"] == 2
        refused = await here.run(EDIT, action="set", **{**PLAN, "currency": "EUR"}, seats="1", starts_on="2026-11-12")
        assert refused.status == "failed"
        step = (await here.good("saas_subscription/costs/saas_cost", **NOVEMBER))["validate_focus"]
        assert (step["rows_processed"], step["rows_written"], step["focus"]["verdict"]) == (30, 30, "warned")
        assert (step["focus"]["failed"], step["focus"]["waived"]) == (["OWN-InvoiceIssuer-001"], [])
        # 11 of 30 days for 12 seats, 19 for 15: two lines of an invoice, each rounded to cents
        expected = Decimal("198.00") + Decimal("427.50")
        (focus,) = await here.rows(
            "SELECT SUM(BilledCost) AS cost, COUNT(*) AS n, MIN(ChargeCategory) AS category FROM cost_data_standard_1_3"
        )
        assert (focus["cost"], focus["n"], focus["category"]) == (expected, 30, "Purchase")
        for row in await here.rows("SELECT * FROM cost_data_standard_1_3"):
            seats, period, days = (12, "198", 11) if row["x_pipeline_run_date"].day < 12 else (15, "427.50", 19)
            assert (row["PricingQuantity"], row["PricingUnit"]) == (seats, "Seat-Days")
            assert abs(row["ContractedUnitPrice"] - Decimal(period) / days / seats) < Decimal("1e-9")
            assert abs(row["ContractedUnitPrice"] * seats - row["BilledCost"]) < Decimal("1e-15")
            assert (row["SkuId"], row["SkuPriceId"]) == ("Example Design/Team", "Example Design/Team/monthly")
        # Removed, and paid back: a credit, and no charge any more.
        await here.good(EDIT, action="remove", subscription_id="design", starts_on="2026-11-12")
        back = {"refund_on": "2026-11-20", "refund_amount": "50"}
        ended = await here.good(
            EDIT, action="set", **PLAN, seats="12", starts_on="2026-11-01", ends_on="2026-11-30", **back
        )
        assert ended["store_plans"]["plans"][0]["refund_amount"].startswith("50")
        await here.good(COST, **NOVEMBER)
        found = await here.rows(
            "SELECT ChargeCategory AS c, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY 1"
        )
        assert {row["c"]: row["cost"] for row in found} == {"Purchase": Decimal(540), "Credit": Decimal(-50)}
        # Paid back in a month without a charge: it is there, and the gate names it.
        december = span(date(2026, 12, 1), date(2026, 12, 31))
        late = {"refund_on": "2026-12-03", "refund_amount": "50"}
        await here.good(EDIT, action="set", **PLAN, seats="12", starts_on="2026-11-01", ends_on="2026-11-30", **late)
        gate = (await here.good(COST, **december))["validate_focus"]
        assert gate["focus"]["failed"] == ["OWN-Credit-001", "OWN-InvoiceIssuer-001"]
        found = await here.rows("SELECT SUM(BilledCost) AS cost FROM cost_data_standard_1_3")
        assert found == [{"cost": Decimal(540 - 50 - 50)}]

    in_installation(tmp_path, work)


def test_a_prepayment_and_odd_prices_pass_and_another_pipeline_replaces_the_days(tmp_path: Path) -> None:
    """Prices that no number of digits holds, a seat for nothing, and a prepayment that no unit price multiplies to."""
    text = "subscription_id,vendor,plan,seats,unit_price,currency,starts_on,billing_cycle,invoice_amount,ends_on\n"
    lines = (
        "a,A,P,7,9.99,USD,2026-11-01,monthly,,\nb,B,P,1,1200,EUR,2026-11-03,annual,,\nc,C,P,3,0,USD,2026-11-01,monthly,,\n"
        "d,D,P,11,10,USD,2026-11-01,annual,1000,2027-10-31\n"
    )

    async def work(here: Here) -> None:
        await here.good(EDIT, action="import", plans_csv=text + lines)
        gate = (await here.good(COST, **NOVEMBER))["validate_focus"]
        assert gate["focus"]["failed"] == ["OWN-InvoiceIssuer-001"]
        sums = "SELECT BillingCurrency AS c, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY 1"
        before = {row["c"]: row["cost"] for row in await here.rows(sums)}
        raw = await here.rows("SELECT currency AS c, SUM(cost) AS cost FROM saas_subscription_cost_daily GROUP BY 1")
        assert before == {row["c"]: row["cost"] for row in raw}
        assert before["USD"] == Decimal("69.93") + Decimal("82.191780822")  # 30 days of 365 of the prepayment
        scope = Scope(dataset=f"{ORG}_dev", writable=True)
        sql = "UPDATE cost_data_standard_1_3 SET x_pipeline_id = 'another', x_credential_id = 'other' WHERE TRUE"
        await here.installation.services.warehouse.query(Statement(sql, scope=scope))
        await here.good(COST, **NOVEMBER)
        assert {row["c"]: row["cost"] for row in await here.rows(sums)} == before

    in_installation(tmp_path, work)


def test_a_copy_that_calls_the_procedure_of_an_earlier_release_still_runs(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    text = (configs / f"{COST}.yml").read_text().replace("sp_saas_focus_candidates_1_3", "sp_saas_convert_focus_1_3")
    text = text.replace('-subscription-cost"', '-older"').replace("aliases:", "aliases: []  #")
    steps, _, _ = text.replace("cost_data_candidate_1_3", "cost_data_standard_1_3").partition("  - step_id: validate")
    (configs / "subscription/costs/older.yml").write_text(steps)

    async def main() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            await here.good(EDIT, action="set", **PLAN, seats="12", starts_on="2026-11-01")
            for _ in range(2):
                await here.good("subscription/costs/older", **NOVEMBER)
                (found,) = await here.rows("SELECT COUNT(*) AS n, SUM(BilledCost) AS cost FROM cost_data_standard_1_3")
                assert (found["n"], found["cost"]) == (30, Decimal(540))

    asyncio.run(main())


def test_cost_is_converted_to_the_cent_and_a_missing_rate_stops(tmp_path: Path) -> None:
    text = "subscription_id,vendor,plan,seats,unit_price,currency,starts_on,billing_cycle\n"
    lines = "a,A,P,7,9.99,USD,2026-11-01,monthly\nb,B,P,1,1200,EUR,2026-11-03,annual\n"

    async def work(here: Here) -> None:
        await here.good(EDIT, action="import", plans_csv=text + lines)
        await here.good(COST, **NOVEMBER)
        stopped = await here.run(COST, currency="EUR", **NOVEMBER)
        assert "no exchange rate of USD to EUR on 2026-11-01" in str(stopped.error)
        assert len(await here.rows("SELECT 1 FROM saas_subscription_cost_daily")) == 30 + 28
        await here.good("subscription/rates/ecb", rates_csv="Date,USD,\n2026-10-30,1.1612,\n")
        await here.good(COST, currency="EUR", **NOVEMBER)
        found = await here.rows(f"{SUMS} WHERE subscription_id = 'a' GROUP BY period_start")
        assert [(row["cost"], row["converted"]) for row in found] == [(Decimal("69.93"), Decimal("60.22"))]
        (row,) = await here.rows(
            "SELECT DISTINCT rate_date, rate_source, converted_currency FROM saas_subscription_cost_daily"
            " WHERE subscription_id = 'a'"
        )
        assert (row["rate_date"], row["converted_currency"]) == (date(2026, 10, 30), "EUR")
        assert row["rate_source"].startswith("European Central Bank")
        (kept,) = await here.rows("SELECT COUNT(*) AS n FROM currency_rates_daily_raw")
        assert kept["n"] == 1
        replaced = await here.good(EDIT, action="import", plans_csv=text + lines.splitlines()[1], replace=True)
        assert [plan["subscription_id"] for plan in replaced["store_plans"]["plans"]] == ["b"]

    in_installation(tmp_path, work)
