"""`generic.focus_gate`: no charge becomes visible that breaks a rule, and every rule is able to find its mistake."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.domain.billing_periods import PeriodKey
from convergence.errors import StepFailed
from convergence.processors.focus.check import refuse_mistakes
from convergence.processors.focus.rules import load_rules
from convergence.processors.focus.settings import GateSettings
from convergence.processors.focus.sources import load_sources, of_source
from tests.unit.processors.focus_charges import VISIBLE, asked, charge, gate
from tests.unit.processors.focus_world import world
from tests.unit.processors.step_world import CONFIGS, WorldContext


def test_charges_that_follow_all_rules_become_visible_and_replace_those_of_the_day() -> None:
    async def work(context: WorldContext) -> None:
        first = await gate(context, [charge(1), charge(2)])
        assert (first["rows_processed"], first["rows_written"], first["warnings"]) == (2, 2, [])
        assert first["focus"]["verdict"] == "passed"
        assert first["focus"]["failed"] == first["focus"]["waived"] == []
        assert first["focus"]["passed"] + first["focus"]["skipped"] == len(load_rules(CONFIGS, []).rules)
        assert (await gate(context, [charge(3)]))["rows_written"] == 1
        assert [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE}")] == ["c3"]
        assert (await gate(context, []))["focus"]["verdict"] == "empty"  # a source that has nothing any more
        assert await asked(context, f"SELECT * FROM {VISIBLE}") == []

    world(work)


def test_prices_and_quantities_of_many_digits_are_compared() -> None:
    large = {"PricingQuantity": Decimal("33333333333.123456789"), "ConsumedQuantity": Decimal("33333333333123456.789")}
    cost = large["PricingQuantity"] * 3
    costs = dict.fromkeys(("BilledCost", "EffectiveCost", "ContractedCost", "PricingCurrencyEffectiveCost"), cost)
    row = charge(1, **large, **costs, ListCost=large["PricingQuantity"] * 4)

    async def work(context: WorldContext) -> None:
        assert (await gate(context, [row]))["focus"]["verdict"] == "passed"
        with pytest.raises(StepFailed, match="CAU-ListCost-C-011-C"):
            await gate(context, [{**row, "ListCost": row["ListCost"] + 134}])  # by more than a billionth

    world(work)


def test_a_broken_must_stops_and_leaves_what_was_visible() -> None:
    async def work(context: WorldContext) -> None:
        await gate(context, [charge(1)])
        with pytest.raises(StepFailed) as stopped:
            await gate(context, [charge(2), charge(3, BillingCurrency="usd")], fields={"BillingCurrency": "currency"})
        for part in (
            "1 FOCUS rules stop 2 charges, nothing was published",
            "CAU-BillingCurrency-C-006-M (BillingCurrency MUST be expressed in national currency",
            "1 rows, BillingCurrency, 'currency' in the source: charge c3 (from openai_usage_daily_raw r3): 'usd'",
        ):
            assert part in str(stopped.value)
        assert [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE}")] == ["c1"]
        (verdict,) = await asked(
            context,
            "SELECT rows_checked, detail FROM org_meta_focus_results WHERE rule_id = '*' AND status = 'stopped'",
        )
        assert (verdict["rows_checked"], "1 failed" in verdict["detail"]) == (2, True)
        (rule,) = await asked(context, "SELECT * FROM org_meta_focus_results WHERE status = 'failed'")
        assert (rule["rule_id"], rule["column_name"], rule["policy"], rule["rows_failed"]) == (
            *("CAU-BillingCurrency-C-006-M", "BillingCurrency", "stop"),
            1,
        )

    world(work)


def test_rows_can_be_set_aside_and_the_sum_of_rows_closes() -> None:
    rule = "CAU-BillingCurrency-C-006-M"

    async def work(context: WorldContext) -> None:
        answer = await gate(context, [charge(1), charge(2, BillingCurrency="usd")], policy={rule: "quarantine"})
        assert answer["rows_processed"] == 2 == answer["rows_written"] + answer["rows_quarantined"]
        assert answer["balance"] == {"read": 2, "loaded": 1, "quarantined": 1, "filtered": 0, "duplicate": 0}
        assert answer["focus"]["verdict"] == "quarantined"
        assert rule in answer["warnings"][0]
        (aside,) = await asked(context, "SELECT reason, row_json FROM org_meta_quarantine_rows")
        assert (aside["reason"], json.loads(aside["row_json"])["x_ChargeId"]) == (rule, "c2")
        assert [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE}")] == ["c1"]

    world(work)


def test_what_is_of_a_closed_period_is_left_out_of_the_charges_and_accounted_for() -> None:
    async def work(context: WorldContext) -> None:
        await gate(context, [charge(1)])
        context.closed = [PeriodKey(date(2026, 11, 1), "OpenAI", "acc-1")]
        context.run_id = "run_2"
        answer = await gate(context, [charge(1), charge(2, SkuMeter="Other Tokens")])
        assert answer["balance"] == {"read": 2, "loaded": 0, "quarantined": 0, "filtered": 2, "duplicate": 0}
        found = await asked(context, f"SELECT ChargeClass AS class, COUNT(*) AS n FROM {VISIBLE} GROUP BY 1 ORDER BY 1")
        assert found == [{"class": None, "n": 1}, {"class": "Correction", "n": 1}]

    world(work)


WAIVER = {"rule": "OWN-SkuId-C-005-C", "reason": "no SKU", "owner": "finops@acme.example"}


def test_a_waiver_holds_until_its_last_day_and_then_stops() -> None:
    bare = charge(1, **dict.fromkeys(("SkuId", "SkuMeter")))

    async def work(context: WorldContext) -> None:
        today = context.now().date()
        with pytest.raises(StepFailed, match="OWN-SkuId-C-005-C"):
            await gate(context, [bare])
        answer = await gate(context, [bare], waivers=[{**WAIVER, "expires": today.isoformat()}])
        assert (answer["focus"]["waived"], answer["rows_written"]) == (["OWN-SkuId-C-005-C"], 1)
        (row,) = await asked(context, "SELECT detail FROM org_meta_focus_results WHERE status = 'waived'")
        assert "by finops@acme.example: no SKU" in row["detail"]
        late = date.fromordinal(today.toordinal() - 1).isoformat()
        with pytest.raises(StepFailed, match=f"waived until {late} .no SKU.: finops@acme.example must remove"):
            await gate(context, [charge(1)], waivers=[{**WAIVER, "expires": late}])

    world(work)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"policy": {"CAU-BilledCost-C-003": "warn"}}, "there is no rule 'CAU-BilledCost-C-003'. Did you mean"),
        ({"policy": {"OWN-Charge-002": "quarantine"}}, "does not say which rows break it"),
        ({"waivers": [{**WAIVER, "rule": "X", "expires": "2999-01-01"}]}, "there is no rule 'X'"),
        ({"waivers": [{"rule": "OWN-Charge-002"}]}, "waivers.0.reason"),
    ],
)
def test_mistakes_of_the_file_are_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(StepFailed, match=message.replace("(", ".")):
        world(lambda context: gate(context, [charge(1)], **config))


def test_what_is_known_about_a_source_applies_unless_the_step_says_otherwise() -> None:
    rule = "CAU-ContractedUnitPrice-C-009-M"
    price = {"ContractedUnitPrice": Decimal(-3), "PricingCurrencyContractedUnitPrice": Decimal(-3)}
    costs = ("BilledCost", "EffectiveCost", "ContractedCost", "PricingCurrencyEffectiveCost")
    negative = charge(1, **price, **dict.fromkeys(costs, Decimal(-6)))

    async def work(context: WorldContext) -> None:
        with pytest.raises(StepFailed, match=rule):
            await gate(context, [negative])
        assert (await gate(context, [negative], source="focus"))["focus"]["failed"] == [rule]
        with pytest.raises(StepFailed, match=rule):
            await gate(context, [negative], source="focus", policy={rule: "stop"})

    world(work)


def test_the_shipped_policies_name_rules_that_exist_and_waivers_that_hold() -> None:
    rules = load_rules(CONFIGS, ["OpenAI"])
    groups = load_sources(CONFIGS).groups
    assert groups
    known = {rule.id: rule for rule in rules.rules}
    for group in groups:
        assert bool(group.policy) == bool(group.reason.strip()), "each group of warnings says why its rules do not stop"
        assert len(group.reason) >= 40 or not group.policy
        for rule, policy in group.policy.items():
            # A row of a bill that is set aside would be missing in its sum.
            assert (policy, known[rule].level) == ("warn", "must"), rule
        for source in group.sources:
            refuse_mistakes(of_source(GateSettings(source=source), CONFIGS, source), rules, date(2026, 11, 29))
