"""A closed billing period, with the policy `late: refused`: a run that would change its charges is refused, one that
brings the same is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.domain.billing_periods import PeriodKey
from convergence.domain.publication import Policy
from convergence.errors import PeriodClosed
from convergence.processors.focus import publish
from tests.unit.processors.focus_charges import VISIBLE, asked, charge, gate
from tests.unit.processors.step_world import ManualClock, WorldContext

NOVEMBER = PeriodKey(date(2026, 11, 1), "OpenAI", "acc-1")
BILLED = f"SELECT x_ChargeId, BilledCost FROM {VISIBLE} ORDER BY x_ChargeId"


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "load_publication", lambda _: Policy(late="refused"))


def world(work: Callable[[WorldContext], Awaitable[Any]]) -> None:
    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await work(WorldContext(None, warehouse, clock))
        finally:
            warehouse.close()

    asyncio.run(main())


def changed(number: int) -> dict[str, Any]:
    costs = ("BilledCost", "EffectiveCost", "ContractedCost", "PricingCurrencyEffectiveCost")
    price = {"ContractedUnitPrice": Decimal(2), "PricingCurrencyContractedUnitPrice": Decimal(2)}
    return charge(number, **dict.fromkeys(costs, Decimal(4)), **price)


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([charge(1), changed(2)], 2),  # another cost: the charge before and the one behind
        ([charge(1)], 1),  # one less
        ([], 2),  # none at all
        ([charge(1), charge(2), charge(3)], 1),  # a late one
    ],
)
def test_a_change_is_refused_and_nothing_is_changed(rows: list[dict[str, Any]], count: int) -> None:
    async def work(context: WorldContext) -> None:
        await gate(context, [charge(1), charge(2)])
        before = await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId")
        context.closed = [NOVEMBER]
        context.run_id = "run_2"
        with pytest.raises(PeriodClosed, match=rf"OpenAI, account acc-1, 2026-11 \({count} charges\)") as refused:
            await gate(context, rows)
        assert refused.value.code == "period.closed"
        assert await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId") == before
        context.closed = []
        await gate(context, rows)
        assert len(await asked(context, BILLED)) == len(rows), "opened again, the same run succeeds"

    world(work)


def test_the_same_charges_again_and_those_of_other_periods_are_fine() -> None:
    async def work(context: WorldContext) -> None:
        await gate(context, [charge(1)])
        context.closed = [NOVEMBER]
        context.run_id = "run_2"
        await gate(context, [charge(1)])
        context.closed = [
            PeriodKey(date(2026, 10, 1), "OpenAI", "acc-1"),
            PeriodKey(date(2026, 11, 1), "OpenAI", "acc-2"),
            PeriodKey(date(2026, 11, 1), "Anthropic", "acc-1"),
        ]
        context.run_id = "run_3"
        await gate(context, [changed(1)])
        assert await asked(context, BILLED) == [{"x_ChargeId": "c1", "BilledCost": Decimal(4)}]

    world(work)
