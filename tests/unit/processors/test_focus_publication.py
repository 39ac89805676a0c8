"""A publication changes the slice of its run only, and fills in what other sources know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from sqlglot import exp

from convergence.config.processors import ps_types
from convergence.errors import ConvergenceError, StepFailed
from convergence.ports.warehouse import PARTITION_BY
from convergence.processors.focus.precedence import SUPERSEDED, publishing, setting_aside, tidying
from convergence.processors.focus.publish import publication, publish
from convergence.processors.focus.slices import Kind, Slice
from tests.repo.dml_bounds import changes_of, is_bounded
from tests.unit.processors.focus_charges import CANDIDATES, VISIBLE, asked, charge, gate
from tests.unit.processors.focus_world import load, usage_of, visible, world
from tests.unit.processors.step_world import WorldContext


@pytest.mark.parametrize("kind", ["usage", "seats", "subscriptions", "bill", "account"])
def test_a_publication_changes_the_days_of_its_run_only(kind: Kind) -> None:
    columns = {"BilledCost": "BIGNUMERIC", "ServiceName": "STRING", "x_pipeline_run_date": "DATE"}
    what = publication(CANDIDATES, VISIBLE, columns, Slice(kind, {}), "FALSE")
    changes = [change for make in (setting_aside, publishing, tidying) for change in changes_of(make(what))]
    assert [table for table, _ in changes] == [SUPERSEDED, VISIBLE, SUPERSEDED]
    assert all(is_bounded(tree, PARTITION_BY) for _, tree in changes)
    matched = changes[1][1].args["on"]
    assert [each.this.name for each in matched.find_all(exp.Between)] == [PARTITION_BY]


def test_what_a_whole_accounts_bill_says_too_replaces_the_other_charges_or_they_stay() -> None:
    async def work(context: WorldContext) -> None:
        gcp, gemini = {"x_Provider": "gcp", "x_UsageKind": None}, {"x_Provider": "gemini", "x_UsageKind": "bill"}
        await load(context, VISIBLE, [charge(1, **gemini), charge(2, **gemini, ServiceName="Another")])
        context.pipeline_id = "cloud"
        await load(context, CANDIDATES, [charge(3, **gcp, BilledCost=None)])
        with pytest.raises(ConvergenceError, match="BilledCost"):
            await publish(context, CANDIDATES, VISIBLE, await usage_of(context, "gcp"))
        assert await visible(context) == ["c1", "c2"]
        await load(context, CANDIDATES, [charge(3, **gcp), charge(4, **gcp)])
        assert (await publish(context, CANDIDATES, VISIBLE, await usage_of(context, "gcp"))).rows == 2
        assert await visible(context) == ["c2", "c3", "c4"]

    world(work)


BILL = {"kind": "bill", "bill_table": "cloud_aws_billing_raw_daily"}
OF_BILL = {"x_SourceTable": BILL["bill_table"], "x_Provider": "aws", "x_UsageKind": None}


def test_a_bill_replaces_its_billing_periods_whoever_loaded_them_and_on_whatever_day() -> None:
    october = {"BillingPeriodStart": "2026-10-01T00:00:00Z", "BillingPeriodEnd": "2026-11-01T00:00:00Z"}

    async def work(context: WorldContext) -> None:
        november, late = context.start_date, context.start_date.replace(day=1) - timedelta(days=1)
        await load(context, VISIBLE, [charge(1, **OF_BILL), charge(2), charge(3, **OF_BILL, **october)])
        # Billed in November for a day of October, and loaded by another pipeline with another credential.
        context.start_date = context.end_date = late
        context.pipeline_id, context.credential_id = "another", "another"
        await load(context, VISIBLE, [charge(4, **OF_BILL)])
        await load(context, CANDIDATES, [charge(5, **OF_BILL)])
        context.start_date = context.end_date = november
        context.pipeline_id, context.credential_id = "mine", "mine"
        answer = await gate(context, [charge(6, **OF_BILL)], **BILL)
        assert (answer["rows_processed"], answer["rows_written"]) == (2, 2)
        assert await visible(context) == ["c2", "c3", "c5", "c6"]
        # The whole period is compared: a charge of the other day would appear twice.
        with pytest.raises(StepFailed, match="OWN-Charge-002"):
            await gate(context, [charge(5, **OF_BILL)], **BILL)
        assert await visible(context) == ["c2", "c3", "c5", "c6"]

    world(work)


def test_the_bill_of_an_account_replaces_the_runs_days_and_the_others_that_it_has_converted() -> None:
    gcp = {"x_SourceTable": "gcp_billing_daily_raw", "x_Provider": "gcp", "x_UsageKind": None}

    async def work(context: WorldContext) -> None:
        mine, restated, long_past = (context.start_date + timedelta(days=number) for number in range(3))

        async def store(table: str, day: date, run: str, *rows: Mapping[str, Any]) -> None:
            context.start_date = context.end_date = day
            context.run_id = run
            await load(context, table, rows)

        await store(VISIBLE, mine, "before", charge(1, **gcp), charge(2))
        await store(VISIBLE, restated, "before", charge(3, **gcp))
        await store(VISIBLE, long_past, "before", charge(4, **gcp))
        # A run beside this one has converted its day later; of a day long past there is an old candidate.
        await store(CANDIDATES, mine, "beside", charge(5, **gcp))
        await store(CANDIDATES, long_past, "before", charge(6, **gcp))
        context.credential_id = "another"
        await store(CANDIDATES, restated, "now", charge(7, **gcp))
        context.start_date = context.end_date = mine
        await context.warehouse.sync_routines("sp_focus_assign_hierarchy")
        step = {"config": {"kind": "account", "source": "gcp"}, "destination": {"table": VISIBLE}}
        answer = await ps_types.load("generic.focus_gate").execute(step, context)
        assert (answer["rows_processed"], answer["rows_written"]) == (2, 2)
        assert await visible(context) == ["c2", "c4", "c5", "c7"]

    world(work)


@pytest.mark.parametrize("config", [{"kind": "bill"}, {"bill_table": "cloud_aws_billing_raw_daily"}])
def test_a_bill_needs_its_table(config: dict[str, Any]) -> None:
    with pytest.raises(StepFailed, match="bill_table is the raw table of a bill"):
        world(lambda context: gate(context, [charge(1)], **config))


def test_a_credit_may_stand_beside_a_charge_of_another_day_of_its_billing_period() -> None:
    credit = charge(2, ChargeCategory="Credit", ConsumedQuantity=None, ConsumedUnit=None)
    later = {"BillingPeriodStart": "2026-12-01T00:00:00Z", "BillingPeriodEnd": "2027-01-01T00:00:00Z"}

    async def work(context: WorldContext) -> None:
        first = context.start_date
        await gate(context, [charge(1)])
        context.start_date = context.end_date = first + timedelta(days=3)
        assert (await gate(context, [credit]))["focus"]["verdict"] == "passed"
        with pytest.raises(StepFailed, match="OWN-Credit-001"):
            await gate(context, [{**credit, **later}])
        # The charge of the other day goes with the same publication: then there is none left.
        context.start_date = first
        with pytest.raises(StepFailed, match="OWN-Credit-001"):
            await gate(context, [credit])

    world(work)


def test_charges_of_every_source_get_their_node_before_they_are_published() -> None:
    """By a tag, as bills have them: `sp_focus_assign_hierarchy` has more of them in the warehouses' contract."""

    async def work(context: WorldContext) -> None:
        await gate(context, [])  # makes the tables
        node = {
            "org_slug": "acme",
            "node_id": "ml",
            "name": "Models",
            "level": "team",
            "level_number": 1,
            "path": "Models",
        }
        context.warehouse.dataset = "organizations"
        await load(context, "org_hierarchy", [{**node, "labels": [{"key": "cost_center", "value": "4711"}]}])
        context.warehouse.dataset = type(context.warehouse).dataset
        await gate(context, [charge(1, Tags='{"CostCenter": "4711"}'), charge(2, Tags='{"CostCenter": "4712"}')])
        sql = f"SELECT x_ChargeId, x_hierarchy_node_id, x_hierarchy_path FROM {VISIBLE} ORDER BY 1"
        assert [tuple(row.values()) for row in await asked(context, sql)] == [
            ("c1", "ml", "Models"),
            ("c2", None, None),
        ]

    world(work)
