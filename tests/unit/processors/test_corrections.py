"""A month day by day: late and restated charges, a closed period, an invoice; each sum checked against a count by hand.

The model beside the warehouse keeps what the source said last, and what stood when a period was closed; the correction
of an open period is the difference of the two, charge by charge.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.publication import load_publication
from convergence.domain.billing_periods import PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.domain.publication import Policy
from convergence.domain.reconciliation import Charged, Subject, reconcile
from convergence.errors import ConfigErrors, PeriodClosed
from convergence.processors.focus.publish import publish
from convergence.processors.focus.slices import slice_of
from tests.unit.processors.focus_charges import CANDIDATES, VISIBLE, asked, charge
from tests.unit.processors.step_world import FIRST, LAST, ManualClock, WorldContext

NOVEMBER, DECEMBER, JANUARY = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
Key = tuple[date, str]  # day, project
Bill = dict[Key, Decimal]


def world(work: Callable[[WorldContext], Awaitable[Any]]) -> None:
    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await work(WorldContext(None, warehouse, clock))
        finally:
            warehouse.close()

    asyncio.run(main())


async def bring(context: WorldContext, bill: Mapping[Key, Decimal]) -> None:
    """Publish all that the source says now; the order of rows and ids of raw rows change from run to run."""
    context.run_id = f"{context.run_id}x"
    stage = context.warehouse.stage(CANDIDATES)
    rows = [
        charge(
            number,
            x_ChargeId=f"{day}-{project}",
            x_SourceRowId=f"{context.run_id}-{number}",
            SubAccountId=project,
            **dict.fromkeys(("BilledCost", "EffectiveCost", "ContractedCost", "PricingCurrencyEffectiveCost"), cost),
            ChargePeriodStart=f"{day}T00:00:00Z",
            ChargePeriodEnd=f"{day + timedelta(days=1)}T00:00:00Z",
        )
        for number, ((day, project), cost) in enumerate(sorted(bill.items(), key=lambda _: context.fraction()))
    ]
    await stage.write(0, rows)
    await context.warehouse.load(stage, dates=DAYS, date_field="ChargePeriodStart")
    chosen = await slice_of(context, CANDIDATES, VISIBLE, kind="usage", provider="openai")
    await publish(context, CANDIDATES, VISIBLE, chosen)


async def charged(context: WorldContext) -> dict[tuple[date, Key], Decimal]:
    """Return what each charge costs by billing period."""
    sql = (
        "SELECT DATE(BillingPeriodStart) AS month, x_pipeline_run_date AS day, SubAccountId AS project,"
        f" COUNT(*) AS n, COUNT(DISTINCT x_ChargeId) AS ids, SUM(BilledCost) AS cost, MIN(ChargeClass) AS class,"
        f" MIN(x_CorrectedPeriodStart) AS corrected FROM {VISIBLE} GROUP BY month, day, project"
    )
    found = {}
    for row in await asked(context, sql):
        assert (row["n"], row["ids"]) == (1, 1), "a cost has one charge in a period"
        late = row["month"] != NOVEMBER
        assert (row["class"], row["corrected"]) == (("Correction", NOVEMBER) if late else (None, None))
        found[row["month"], (row["day"], row["project"])] = row["cost"]
    return found


class Model:
    """What each period must have, counted charge by charge."""

    def __init__(self) -> None:
        self.bill: Bill = {}
        self.fixed: dict[tuple[date, Key], Decimal] = {}
        self.month = NOVEMBER  # the first open one

    def expected(self) -> dict[tuple[date, Key], Decimal]:
        standing: dict[Key, Decimal] = defaultdict(Decimal)
        for (_, key), cost in self.fixed.items():
            standing[key] += cost
        found = dict(self.fixed)
        for key in self.bill.keys() | standing.keys():
            difference = self.bill.get(key, Decimal(0)) - standing[key]
            if difference or (self.month == NOVEMBER and key in self.bill):
                found[self.month, key] = difference
        return found

    def close(self) -> None:
        self.fixed = self.expected()
        self.month = DECEMBER if self.month == NOVEMBER else JANUARY


@pytest.mark.parametrize("seed", [1, 2])
def test_each_sum_of_a_month_with_late_rows_restatements_and_closed_periods(seed: int) -> None:
    chance = random.Random(seed)

    def cost() -> Decimal:
        return Decimal(chance.randint(1, 10**9)).scaleb(-chance.choice((2, 6, 9)))

    async def work(context: WorldContext) -> None:
        context.fraction = chance.random  # type: ignore[method-assign]
        model = Model()

        async def run() -> None:
            await bring(context, model.bill)
            assert await charged(context) == model.expected()

        for day in DAYS:
            model.bill |= {(day, project): cost() for project in ("a", "b")}
            for key in chance.sample(sorted(model.bill), k=min(2, len(model.bill))):  # restated
                model.bill[key] = cost()
            if chance.random() < 0.3:  # a row that the provider takes back
                del model.bill[chance.choice(sorted(model.bill))]
            if day == DAYS[5]:
                model.bill[DAYS[0], "late"] = cost()
            await run()

        model.close()
        context.closed = [PeriodKey(NOVEMBER, "OpenAI", "acc-1")]
        fixed = await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId")
        invoiced = sum(model.bill.values())
        await run()
        assert await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId") == fixed, "nothing is late"

        model.bill[DAYS[3], "late"] = cost()
        model.bill[DAYS[4], "a"] = cost()
        model.bill.pop((DAYS[6], "b"), None)
        await run()
        await run()  # again, as after a replay
        model.bill[DAYS[3], "late"] = cost()  # a late row is restated: one correction, no chain of them
        await run()
        context.closed = [*context.closed, PeriodKey(DECEMBER, "OpenAI", "acc-1")]
        model.close()
        await run()
        model.bill[DAYS[4], "a"] = cost()
        del model.bill[DAYS[3], "late"]
        await run()
        assert {month for month, _ in await charged(context)} == {NOVEMBER, DECEMBER, JANUARY}
        ids = ", ".join(f"'{row['x_ChargeId']}'" for row in fixed)
        still = await asked(context, f"SELECT * FROM {VISIBLE} WHERE x_ChargeId IN ({ids}) ORDER BY x_ChargeId")
        assert still == fixed, "charges of the closed period are as they were"
        total = sum((await charged(context)).values())
        assert total == sum(model.bill.values()), "all periods together are what the source says now"
        await check_invoice(context, invoiced)

        context.closed = []  # opened again: November takes all back, and nothing is left in other periods
        model.fixed, model.month = {}, NOVEMBER
        await run()

    world(work)


async def check_invoice(context: WorldContext, amount: Decimal | int) -> None:
    """The invoice of November is that of its charges, whatever came late."""
    at = datetime(2026, 12, 2, tzinfo=UTC)
    lines = (InvoiceLine(line_id="1", amount=Decimal(amount)),)
    key = PeriodKey(NOVEMBER, "OpenAI", "acc-1")
    invoice = Invoice(key=key, invoice_id="I", currency="USD", lines=lines, created_at=at, updated_at=at)
    sums: dict[date, Decimal] = defaultdict(Decimal)
    for (month, _), cost in (await charged(context)).items():
        sums[month] += cost
    sides = [
        Charged(
            subject=Subject(month, "openai", "OpenAI", "acc-1", "USD"),
            credential="cred_1",
            category="Usage",
            rows=1,
            cost=cost,
        )
        for month, cost in sums.items()
    ]
    (found,) = [each for each in reconcile(sides, [], [invoice]) if each.subject.month == NOVEMBER]
    assert (found.state, found.difference) == ("matched", 0)


def test_a_correction_has_no_price_and_names_what_it_corrects() -> None:
    async def work(context: WorldContext) -> None:
        await bring(context, {(FIRST, "a"): Decimal(6)})
        context.closed = [PeriodKey(NOVEMBER, "OpenAI", "acc-1")]
        await bring(context, {(FIRST, "a"): Decimal("5.5")})
        (row,) = await asked(context, f"SELECT * FROM {VISIBLE} WHERE ChargeClass IS NOT NULL")
        assert {name: row[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "PricingQuantity")} == {
            "BilledCost": Decimal("-0.5"), "EffectiveCost": Decimal("-0.5"), "ListCost": 0, "PricingQuantity": 0,
        }  # fmt: skip
        assert (row["BillingPeriodStart"].date(), row["BillingPeriodEnd"].date()) == (DECEMBER, JANUARY)
        assert (row["ChargePeriodStart"].date(), row["x_pipeline_run_date"]) == (FIRST, FIRST)
        assert (row["ListUnitPrice"], row["InvoiceId"]) == (None, None)
        [usage] = await asked(context, f"SELECT x_SourceRowId FROM {CANDIDATES}")
        assert row["x_SourceRowId"] == usage["x_SourceRowId"]  # as the source says it now
        assert (row["ServiceName"], row["x_run_id"], row["x_pipeline_id"]) == (
            "OpenAI API", context.run_id, context.pipeline_id,
        )  # fmt: skip

    world(work)


def test_days_of_an_account_that_are_restated_in_a_closed_period_are_corrected_day_by_day() -> None:
    """The bill of Google Cloud: a run brings its own days, and those others that the export has restated."""

    async def work(context: WorldContext) -> None:
        async def restate(first: date, bill: Mapping[date, int]) -> dict[tuple[date, date], list[int]]:
            context.run_id, context.start_date, context.end_date = f"{context.run_id}x", first, first
            stage = context.warehouse.stage(CANDIDATES)
            rows = [
                charge(
                    number,
                    x_Provider="gcp",
                    x_ChargeId=f"{context.run_id}-{number}",
                    SubAccountId="p",
                    InvoiceIssuerName="Google Cloud",
                    BilledCost=Decimal(cost),
                    ChargePeriodStart=f"{day}T00:00:00Z",
                    ChargePeriodEnd=f"{day + timedelta(days=1)}T00:00:00Z",
                )
                for number, (day, cost) in enumerate(bill.items())
            ]
            await stage.write(0, rows)
            await context.warehouse.load(stage, dates=list({first, *bill}), date_field="ChargePeriodStart")
            chosen = await slice_of(context, CANDIDATES, VISIBLE, kind="account", provider="gcp")
            await publish(context, CANDIDATES, VISIBLE, chosen)
            found: dict[tuple[date, date], list[int]] = defaultdict(list)
            for row in await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY BilledCost"):
                found[row["BillingPeriodStart"].date(), row["x_pipeline_run_date"]].append(int(row["BilledCost"]))
            return dict(found)

        one, two, other = DAYS[0], DAYS[1], DAYS[5]
        before = {(NOVEMBER, one): [10], (NOVEMBER, two): [20]}
        await restate(one, {one: 10})
        assert await restate(two, {two: 20}) == before
        context.closed = [PeriodKey(NOVEMBER, "Google Cloud", "acc-1")]
        assert await restate(other, {one: 10}) == before, "nothing has changed"
        for _ in range(2):  # the second time as after a replay
            assert await restate(other, {one: 13}) == {**before, (DECEMBER, one): [3]}
        assert await restate(other, {one: 12, two: 20}) == {**before, (DECEMBER, one): [2]}, "one correction, anew"
        assert await restate(two, {}) == {**before, (DECEMBER, one): [2], (DECEMBER, two): [-20]}, "a day that is gone"
        assert await restate(two, {one: 10, two: 20}) == before

    world(work)


def test_a_period_that_is_closed_while_a_run_is_under_way_ends_it() -> None:
    async def work(context: WorldContext) -> None:
        await bring(context, {(FIRST, "a"): Decimal(6)})
        before = await asked(context, f"SELECT * FROM {VISIBLE}")
        context.clock.at += timedelta(minutes=1)
        context.closed = [PeriodKey(NOVEMBER, "OpenAI", "acc-1")]
        with pytest.raises(PeriodClosed, match="were closed while it was under way, so nothing was published: OpenAI"):
            await bring(context, {(FIRST, "a"): Decimal(7)})
        assert await asked(context, f"SELECT * FROM {VISIBLE}") == before
        context.started_at = context.clock.at  # started again
        await bring(context, {(FIRST, "a"): Decimal(7)})
        assert sum((await charged(context)).values()) == 7

    world(work)


def test_the_policy_is_read_from_its_file(tmp_path: Path) -> None:
    assert load_publication(tmp_path) == Policy(over="blocked", not_compared="blocked", late="corrected"), "shipped"
    file = tmp_path / "system/publication.yml"
    file.parent.mkdir()
    file.write_text("publish: {over: published}\nlate: refused\n")
    assert load_publication(tmp_path) == Policy(over="published", not_compared="blocked", late="refused")
    file.write_text("late: later\n")
    with pytest.raises(ConfigErrors, match=r"publication\.yml:1"):
        load_publication(tmp_path)
