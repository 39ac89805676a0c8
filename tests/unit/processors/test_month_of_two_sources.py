"""A month day by day with two sources of one cost: late rows, restatements, a closed period, an invoice.

After each run the sums are those of a count beside the warehouse: of each day the source that counts, as it says it
now; and of the closed month what stood when it was closed.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.domain.billing_periods import PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.domain.reconciliation import Billed, Charged, Subject, reconcile
from convergence.errors import PeriodClosed
from convergence.processors.focus.precedence import SUPERSEDED
from convergence.processors.focus.publish import publish
from convergence.processors.focus.slices import slice_of
from tests.unit.processors.focus_charges import CANDIDATES, VISIBLE, asked, charge
from tests.unit.processors.step_world import FIRST, LAST, ManualClock, WorldContext

NOVEMBER = date(2026, 11, 1)
DAYS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
KEY = PeriodKey(NOVEMBER, "Google Cloud", "acc-1")
BILL, PART = "gcp", "vertex"  # by the shipped rule google_ai the bill counts
SHARED, OWN = "Vertex AI", "Compute Engine"
Bill = dict[tuple[date, str, str], Decimal]  # day, service, project


class World:
    """What both sources say, what was published of it, and the count of what must stand."""

    def __init__(self, context: WorldContext) -> None:
        self.context = context
        self.said: dict[str, Bill] = {BILL: {}, PART: {}}  # as last published
        self.closed: Decimal | None = None

    def counting(self) -> Decimal:
        """Return the sum of what counts, counted charge by charge."""
        billed = {day for day, service, _ in self.said[BILL] if service == SHARED}
        part = (cost for (day, _, _), cost in self.said[PART].items() if day not in billed)
        return sum([*self.said[BILL].values(), *part], Decimal(0))

    async def run(self, source: str, bill: Bill) -> None:
        """Publish, and compare all sums."""
        await self.bring(source, bill)
        self.said[source] = dict(bill)
        await self.check()

    async def bring(self, source: str, bill: Bill) -> None:
        context = self.context
        context.pipeline_id, context.run_id = f"acme-{source}", f"{context.run_id}x"
        stage = context.warehouse.stage(CANDIDATES)
        rows = [
            charge(
                number,
                x_Provider=source,
                x_ChargeId=f"{source}-{day}-{service}-{project}",
                ServiceName=service,
                SubAccountId=project,
                InvoiceIssuerName=KEY.issuer,
                BilledCost=cost,
                ChargePeriodStart=f"{day}T00:00:00Z",
                ChargePeriodEnd=f"{day + timedelta(days=1)}T00:00:00Z",
            )
            for number, ((day, service, project), cost) in enumerate(bill.items())
        ]
        await stage.write(0, rows)
        await context.warehouse.load(stage, dates=DAYS, date_field="ChargePeriodStart")
        await publish(
            context, CANDIDATES, VISIBLE, await slice_of(context, CANDIDATES, VISIBLE, kind="usage", provider=source)
        )

    async def months(self) -> dict[date, Decimal]:
        sql = f"SELECT DATE(BillingPeriodStart) AS month, SUM(BilledCost) AS cost FROM {VISIBLE} GROUP BY month"
        return {row["month"]: row["cost"] for row in await asked(self.context, sql)}

    async def check(self) -> None:
        months = await self.months()
        assert sum(months.values()) == self.counting()
        if self.closed is None:
            assert months == {NOVEMBER: self.counting()}
            (aside,) = await asked(self.context, f"SELECT COALESCE(SUM(BilledCost), 0) AS cost FROM {SUPERSEDED}")
            everything = sum((cost for bill in self.said.values() for cost in bill.values()), Decimal(0))
            assert aside["cost"] == everything - self.counting()
        else:
            assert months[NOVEMBER] == self.closed

    async def refused(self, source: str, bill: Bill) -> None:
        """Publish what would move a cost of the closed month from one source to the other: nothing changes."""
        before = await asked(self.context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId, BilledCost")
        with pytest.raises(PeriodClosed):
            await self.bring(source, bill)
        assert await asked(self.context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId, BilledCost") == before
        await self.check()


@pytest.mark.parametrize("seed", [1, 2])
def test_each_sum_of_a_month_of_two_sources(seed: int) -> None:
    chance = random.Random(seed)

    def cost() -> Decimal:
        return Decimal(chance.randint(1, 10**9)).scaleb(-chance.choice((2, 6, 9)))

    async def work(world: World) -> None:
        bill: Bill = {}
        part: Bill = {}
        for day in DAYS[:-1]:
            part[day, SHARED, "a"] = cost()
            bill[day, OWN, "m"] = cost()
            if day not in (DAYS[2], DAYS[6]):  # days that the bill has late, or never
                bill |= {(day, SHARED, project): cost() for project in ("a", "b")}
            if day == DAYS[4]:
                bill[DAYS[2], SHARED, "a"] = cost()
            for said in (bill, part):  # restated
                said[chance.choice(sorted(said))] = cost()
            for source, said in chance.sample([(BILL, bill), (PART, part)], k=2):
                await world.run(source, said)
        await world.run(PART, {})  # for a while it says nothing
        await world.run(PART, part)

        world.closed = (await world.months())[NOVEMBER]
        world.context.closed = [KEY]
        await world.run(BILL, bill)
        await world.run(PART, part)
        assert set(await world.months()) == {NOVEMBER}, "nothing is late"
        bill[DAYS[1], SHARED, "a"] = cost()  # restated
        bill[DAYS[3], OWN, "late"] = cost()
        await world.run(BILL, bill)
        part[DAYS[6], SHARED, "a"] = cost()  # of the day that the bill does not have
        part[DAYS[1], SHARED, "a"] = cost()  # of one that it has: does not count
        await world.run(PART, part)
        bill[DAYS[-1], SHARED, "a"] = cost()  # a day that neither had
        await world.run(BILL, bill)
        part[DAYS[-1], SHARED, "a"] = cost()
        await world.run(PART, part)
        await world.refused(BILL, {**bill, (DAYS[6], SHARED, "a"): cost()})
        await world.refused(BILL, {key: each for key, each in bill.items() if key[:2] != (DAYS[0], SHARED)})
        await world.run(BILL, bill)
        await check_invoice(world)
        world.context.closed, world.closed = [], None  # opened again: each source's next run takes its corrections back
        await world.bring(BILL, bill)
        await world.run(PART, part)

    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await work(World(WorldContext(None, warehouse, clock)))
        finally:
            warehouse.close()

    asyncio.run(main())


async def check_invoice(world: World) -> None:
    """The invoice is that of the closed charges; the provider's own bill that of all usage of the month."""
    assert world.closed is not None
    names = "DATE(BillingPeriodStart) AS month, x_CorrectedPeriodStart AS corrects, COUNT(*) AS n"
    rows = await asked(world.context, f"SELECT {names}, SUM(BilledCost) AS cost FROM {VISIBLE} GROUP BY 1, 2")
    sides = [
        Charged(
            subject=Subject(row["month"], BILL, KEY.issuer, KEY.account, "USD"),
            credential="c",
            category="Usage",
            rows=row["n"],
            cost=row["cost"],
            corrects=row["corrects"],
        )
        for row in rows
    ]
    at = datetime(2026, 12, 2, tzinfo=UTC)
    invoice = Invoice(
        key=KEY,
        invoice_id="I",
        currency="USD",
        lines=(InvoiceLine(line_id="1", amount=world.closed.quantize(Decimal("1E-9"))),),
        created_at=at,
        updated_at=at,
    )
    usage = Billed(
        month=NOVEMBER,
        provider=BILL,
        credential="c",
        currency="USD",
        reason="match",
        cost=world.counting(),
        difference=Decimal(0),
    )
    found: dict[bool, list[Decimal | None]] = defaultdict(list)
    for invoiced in (True, False):
        november = next(
            each for each in reconcile(sides, [usage], [invoice] * invoiced) if each.invoiced or each.billed
        )
        assert (november.subject.month, november.state, november.difference) == (NOVEMBER, "matched", 0)
        found[invoiced].append(november.computed)
    assert found == {True: [world.closed], False: [world.counting()]}
