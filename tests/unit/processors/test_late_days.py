"""A late day of one account that two credentials report."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any, cast

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.procedures import load_procedures
from convergence.config.processors import ps_types
from convergence.domain.billing_periods import PeriodKey
from convergence.errors import StepFailed
from tests.unit.processors.priced import charge
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext


@pytest.mark.parametrize("closed", [False, True])
def test_a_late_day_of_one_credential_is_not_charged_again_by_another(closed: bool) -> None:
    """Also where the period is closed, so that the day is there as a correction only."""

    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await warehouse.sync_routines(load_procedures(CONFIGS))
            context = WorldContext(None, cast("Any", warehouse), clock)
            context.configs_dir = CONFIGS
            context.closed = [PeriodKey(date(2026, 11, 1), "OpenAI", "org-1")] if closed else []
            row = {
                **charge("openai", "5", "m/1/input/standard/0@open"),
                "billing_account_id": "org-1",
                "source_table": "openai_usage_daily_raw",
                "source_row_id": "r1",
                "source_pipeline_id": "p",
            }
            step = {"config": {"provider": "openai"}, "destination": {"table": "cost_data_standard_1_3"}}

            async def bring() -> None:
                stage = context.warehouse.stage("genai_cost_daily_unified")
                await stage.write(0, [row])
                await context.warehouse.load(stage, dates=[FIRST], date_field="usage_date")
                await ps_types.load("genai.focus").execute(step, context)

            await bring()
            context.credential_id, context.run_id = "cred_2", "run_of_cred_2"
            with pytest.raises(StepFailed, match="twice"):
                await bring()
            found = await context.warehouse.query("SELECT SUM(BilledCost) AS cost FROM cost_data_standard_1_3")
            assert found.rows == [{"cost": Decimal(5)}]
        finally:
            warehouse.close()

    asyncio.run(main())
