"""`generic.focus_gate`: no charge becomes visible that breaks a rule, and every rule is able to find its mistake."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.processors import ps_types
from convergence.domain.billing_periods import PeriodKey
from convergence.errors import ConvergenceError, StepFailed
from convergence.ports.warehouse import PARTITION_BY
from convergence.processors.focus.check import refuse_mistakes
from convergence.processors.focus.precedence import SUPERSEDED, publishing, setting_aside, tidying
from convergence.processors.focus.publish import publication, publish
from convergence.processors.focus.rule_model import compiled
from convergence.processors.focus.rules import OF_COLUMNS, OF_GROUPS, Rule, load_rules
from convergence.processors.focus.settings import GateSettings
from convergence.processors.focus.slices import Kind, Slice, slice_of
from convergence.processors.focus.sources import load_sources, of_source
from tests.referees import opinions
from tests.referees.opinions import published_model
from tests.repo.dml_bounds import changes_of, is_bounded
from tests.unit.processors.focus_charges import CANDIDATES, DAY, NEXT, VISIBLE, asked, charge, gate
from tests.unit.processors.step_world import CONFIGS, ManualClock, WorldContext

Work = Callable[[WorldContext], Awaitable[Any]]


def world(work: Work) -> Any:
    async def main() -> Any:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            context = WorldContext(None, warehouse, clock)
            context.provider = "openai"
            return await work(context)
        finally:
            warehouse.close()

    return asyncio.run(main())


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
        with pytest.raises(StepFailed, match=f"waived until {late} .no SKU.: finops@acme.example has to remove"):
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


# What breaks a rule of ours, which neither of the two public validators sees.
BREAKING: list[tuple[str, list[dict[str, Any]]]] = [
    ("OWN-EffectiveCost-001", [charge(1, EffectiveCost=Decimal(12), PricingCurrencyEffectiveCost=Decimal(12))]),
    (
        "OWN-EffectiveCost-002",
        [charge(1, ChargeCategory="Purchase", ChargeFrequency="Recurring", ConsumedQuantity=None, ConsumedUnit=None,
                EffectiveCost=Decimal(12))],
    ),
    ("OWN-ChargePeriod-001", [charge(1, ChargePeriodStart=NEXT, ChargePeriodEnd=DAY)]),
    (
        "OWN-BillingPeriod-001",
        [charge(1, BillingPeriodStart="2026-12-01T00:00:00Z", BillingPeriodEnd="2026-11-01T00:00:00Z")],
    ),
    ("OWN-BillingPeriod-002", [charge(1), charge(2, BillingPeriodStart="2026-11-15T00:00:00Z")]),
    ("OWN-Charge-001", [charge(1, x_ChargeId=None)]),
    ("OWN-Charge-002", [charge(1), charge(2, x_ChargeId="c1")]),
    ("OWN-InvoiceCurrency-001", [charge(1, InvoiceId="i"), charge(2, InvoiceId="i", BillingCurrency="EUR")]),
    (
        "OWN-Credit-001",
        [
            charge(1),
            charge(2, ChargeCategory="Credit", ServiceName="Another", ConsumedQuantity=None, ConsumedUnit=None),
        ],
    ),
    ("OWN-InvoiceIssuer-001", [charge(1, InvoiceIssuerName="Open AI Inc.")]),
    ("OWN-PricingCategory-C-004-C", [charge(1, PricingCategory=None)]),
    ("OWN-ConsumedQuantity-C-006-C", [charge(1, ConsumedQuantity=None, ConsumedUnit=None)]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "rows"), BREAKING, ids=[rule for rule, _ in BREAKING])
def test_our_own_rules_see_what_the_validators_do_not(rule: str, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(StepFailed, match=rule):
        world(lambda context: gate(context, rows))


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("OWN-Charge-003", [charge(1), charge(1, x_ChargeId="c2")]),
        (
            "OWN-ChargePeriod-002",
            [charge(1), charge(2, SubAccountId="p1", ChargePeriodEnd="2026-12-01T00:00:00Z", ListCost=Decimal(8))],
        ),
        ("CAU-ChargeDescription-C-003-O", [charge(1, ChargeDescription=None)]),
    ],
)
def test_what_need_not_be_wrong_is_a_warning(rule: str, rows: list[dict[str, Any]]) -> None:
    answer = world(lambda context: gate(context, rows))
    assert [warning.split()[1] for warning in answer["warnings"]] == [rule]
    assert (answer["focus"]["verdict"], answer["rows_written"]) == ("warned", len(rows))


def _breaking(rule: Rule) -> dict[str, Any]:
    """Return a charge that breaks a rule of the specification: its condition holds, its check does not."""
    made = charge(1)

    def let(tree: Any, holds: bool) -> None:
        word, *parts = tree
        match word:
            case "and":
                for part in parts:
                    let(part, holds)
            case "or":
                let(parts[0], holds)
            case "=" | "!=":
                column, value = parts
                wanted = (word == "=") is holds
                made[column] = value if wanted else _other(column)
            case "in" if holds:
                made[parts[0]] = parts[1][0]
            case "in" | "pairs" | "national_currency":
                made[parts[0]] = "Nothing of this kind"
            case "format":
                made[parts[0]] = {"unit": "%", "key_value": "[1]", "json": "[1]"}.get(parts[1], " ")
            case "product":
                made[parts[2]] = made[parts[2]] + Decimal("0.001")
            case ">=":
                made[parts[0]] = Decimal(-1)

    if rule.when is not None:
        let(rule.when, True)
    let(rule.check, False)
    return made


def _other(column: str) -> Any:
    kinds = {each.name: each.type for each in TableSchemas(CONFIGS).get(CANDIDATES).columns}
    return {"BIGNUMERIC": Decimal(1), "TIMESTAMP": DAY}.get(kinds[column], "x")


CHECKED = [
    rule
    for rule in load_rules(CONFIGS, ["OpenAI"]).rules
    if rule.check[0] not in OF_COLUMNS | OF_GROUPS
    and not rule.id.startswith("OWN")
    # A typed column has no other form than that of its type.
    and not (rule.check[0] == "format" and rule.check[2] in {"numeric", "datetime"})
]


def test_every_rule_about_single_rows_finds_the_row_that_breaks_it() -> None:
    """One candidate for each rule, all in one table: each rule must count at least its own."""

    async def work(context: WorldContext) -> list[str]:
        rows = [{**_breaking(rule), "x_ChargeId": rule.id} for rule in CHECKED]
        with pytest.raises(StepFailed):
            await gate(context, rows)
        found = await asked(context, "SELECT rule_id FROM org_meta_focus_results WHERE status = 'failed'")
        return sorted({rule.id for rule in CHECKED} - {row["rule_id"] for row in found})

    assert len(CHECKED) > 140
    assert world(work) == []


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


async def usage_of(context: WorldContext, provider: str) -> Slice:
    return await slice_of(context, CANDIDATES, VISIBLE, kind="usage", provider=provider)


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


async def load(context: WorldContext, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    stage = context.warehouse.stage(table)
    await stage.write(0, rows)
    await context.warehouse.ensure_table(VISIBLE)
    await context.warehouse.load(stage, dates=[context.start_date])


async def visible(context: WorldContext) -> list[str]:
    return [row["x_ChargeId"] for row in await asked(context, f"SELECT x_ChargeId FROM {VISIBLE} ORDER BY x_ChargeId")]


def test_the_shipped_rules_are_those_of_the_published_model() -> None:
    text = (CONFIGS / "system/focus/rules_1_3.json").read_text(encoding="utf-8")
    data = json.loads(text)
    assert data == compiled(published_model(), data["currencies"])
    with (Path(opinions.__file__).parent / "currency_codes.csv").open(encoding="utf-8") as lines:
        assert data["currencies"] == sorted(row["currency_codes"] for row in csv.DictReader(lines))
    assert len(data["rules"]) + len(data["left_out"]) == 723  # each one is checked, or says why not
    assert len([rule for rule in data["rules"] if rule.get("of")]) == 9  # those that a null ChargeClass switches off


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
