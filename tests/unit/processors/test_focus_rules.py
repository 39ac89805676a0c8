"""The rules of the gate: ours, and those of the published model, each with rows that break it."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.files.schemas.folder import TableSchemas
from convergence.errors import StepFailed
from convergence.processors.focus.rule_model import compiled
from convergence.processors.focus.rules import OF_COLUMNS, OF_GROUPS, Rule, load_rules
from tests.referees import opinions
from tests.referees.opinions import published_model
from tests.unit.processors.focus_charges import CANDIDATES, DAY, NEXT, asked, charge, gate
from tests.unit.processors.focus_world import world
from tests.unit.processors.step_world import CONFIGS, WorldContext

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


def test_the_shipped_rules_are_those_of_the_published_model() -> None:
    text = (CONFIGS / "system/focus/rules_1_3.json").read_text(encoding="utf-8")
    data = json.loads(text)
    assert data == compiled(published_model(), data["currencies"])
    with (Path(opinions.__file__).parent / "currency_codes.csv").open(encoding="utf-8") as lines:
        assert data["currencies"] == sorted(row["currency_codes"] for row in csv.DictReader(lines))
    assert len(data["rules"]) + len(data["left_out"]) == 723  # each one is checked, or says why not
    assert len([rule for rule in data["rules"] if rule.get("of")]) == 9  # those that a null ChargeClass switches off
