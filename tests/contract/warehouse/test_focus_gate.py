"""The gate's statements on both warehouses: what passes is published, what is broken is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import Warehouse
from tests.contract.warehouse.world import Body
from tests.unit.processors.focus_charges import VISIBLE, asked, charge, gate
from tests.unit.processors.step_world import ManualClock, WorldContext


def test_charges_are_checked_and_published(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        context = WorldContext(None, cast("Any", warehouse), ManualClock())
        context.provider = "openai"
        credit: dict[str, Any] = {"ChargeCategory": "Credit", "ConsumedQuantity": None, "ConsumedUnit": None}
        assert (await gate(context, [charge(1), charge(2, **credit)]))["rows_written"] == 2
        rule = "CAU-BillingCurrency-C-006-M"
        some = await gate(context, [charge(3), charge(4, BillingCurrency="usd")], policy={rule: "quarantine"})
        assert (some["rows_written"], some["rows_quarantined"]) == (1, 1)
        with pytest.raises(StepFailed, match="OWN-Charge-002"):
            await gate(context, [charge(5), charge(6, x_ChargeId="c5")])
        assert [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE}")] == ["c3"]

    run(body)


def test_a_cost_that_two_sources_report_counts_once(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        context = WorldContext(None, cast("Any", warehouse), ManualClock())
        for number, provider in enumerate(("vertex", "gcp"), start=1):
            context.pipeline_id, context.provider = f"acme-{provider}", provider
            await gate(context, [charge(number, x_Provider=provider)])
        assert [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE}")] == ["c2"]
        aside = await asked(context, "SELECT x_ChargeId, x_SupersededReason FROM cost_data_superseded")
        assert aside == [{"x_ChargeId": "c1", "x_SupersededReason": "rule google_ai: charges of gcp count"}]
        assert (await gate(context, []))["rows_superseded"] == 0
        assert [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE}")] == ["c1"]
        assert await asked(context, "SELECT * FROM cost_data_superseded") == []

    run(body)
