"""The rules that FOCUS charges are checked by: those of the specification, and our own for what these cannot detect.

A rule has a check and the condition under which it applies, both as trees of lists, such as
`["=", "ChargeClass", None]`; `sql.py` turns them into SQL. The specification's come from
`configs/system/focus/rules_1_3.json` (`rule_model.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from convergence.config.files.shipped import own_or_shipped

FILE: Final = "system/focus/rules_1_3.json"
Tree = list[Any]
Level = Literal["must", "should"]
# Checks of a column as a whole, which its schema answers, and of groups of rows; all others are about single rows.
OF_COLUMNS: Final = frozenset({"present", "type"})
OF_GROUPS: Final = frozenset({"one_per", "unique", "apart", "linked"})
NO_COMMITMENT: Final[Tree] = ["=", "CommitmentDiscountId", None]
PURCHASE: Final[Tree] = ["=", "ChargeCategory", "Purchase"]
SAME_COST: Final[Tree] = ["same", "EffectiveCost", "BilledCost"]
PRICED_THING: Final = ("BillingAccountId", "SubAccountId", "ResourceId", "SkuPriceId")
# What distinguishes charges best comes last: a raw row, and what is charged for it.
IDENTITY: Final = (
    *("BillingAccountId", "SubAccountId", "ResourceId", "ChargeCategory", "ChargeDescription"),
    *("ChargePeriodStart", "ChargePeriodEnd", "BilledCost", "ListCost", "PricingQuantity", "x_UserId", "x_ApiKeyId"),
    *("Tags", "SkuPriceId", "SkuMeter", "x_SourceRowId"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`criteria`: what a provider must support for the rule to apply. `when` None: it applies to every row."""

    id: str
    column: str
    level: Level
    check: Tree
    when: Tree | None = None
    criteria: tuple[str, ...] = ()
    text: str

    @property
    def names_rows(self) -> bool:
        """Whether the rule says which rows break it, so that these can be set aside."""
        return self.check[0] not in OF_COLUMNS | OF_GROUPS


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules, and the codes of national currencies."""

    model: str
    rules: tuple[Rule, ...]
    currencies: tuple[str, ...]


def load_rules(configs_dir: Path, issuers: Sequence[str]) -> RuleSet:
    """Return the rules of the specification and our own; `issuers` are the names of the registry of providers."""
    data = json.loads(own_or_shipped(configs_dir, FILE).read_text(encoding="utf-8"))
    rules = [
        Rule(
            id=each["id"],
            column=each["column"],
            level=each["level"],
            check=each["check"],
            when=each["when"],
            criteria=tuple(each["criteria"]),
            text=each["text"],
        )
        for each in data["rules"]
    ]
    return RuleSet(data["model"], (*rules, *own_rules(issuers)), tuple(data["currencies"]))


def own_rules(issuers: Sequence[str]) -> list[Rule]:
    """Return our own rules; those that a null ChargeClass disables in the model are in its file, as `OWN-…`."""
    return [
        Rule(
            id="OWN-EffectiveCost-001",
            column="EffectiveCost",
            level="must",
            check=SAME_COST,
            when=["and", NO_COMMITMENT, ["!=", "ChargeCategory", "Purchase"]],
            text="EffectiveCost equals BilledCost where no commitment is involved (FOCUS 1.4).",
        ),
        Rule(
            id="OWN-EffectiveCost-002",
            column="EffectiveCost",
            level="must",
            check=["or", SAME_COST, ["=", "EffectiveCost", 0]],
            when=["and", NO_COMMITMENT, PURCHASE],
            text="EffectiveCost of a purchase equals BilledCost, or is 0 where it covers future charges (FOCUS 1.4).",
        ),
        Rule(
            id="OWN-ChargePeriod-001",
            column="ChargePeriodEnd",
            level="must",
            check=["before", "ChargePeriodStart", "ChargePeriodEnd"],
            text="ChargePeriodStart is before ChargePeriodEnd, which is exclusive.",
        ),
        Rule(
            id="OWN-ChargePeriod-002",
            column="ChargePeriodStart",
            level="should",
            check=["apart", list(PRICED_THING), "ChargePeriodStart", "ChargePeriodEnd"],
            when=["and", ["=", "ChargeCategory", "Usage"], ["!=", "SkuPriceId", None]],
            text="Charge periods of one SKU price, account and resource are equal or do not overlap.",
        ),
        Rule(
            id="OWN-BillingPeriod-001",
            column="BillingPeriodEnd",
            level="must",
            check=["before", "BillingPeriodStart", "BillingPeriodEnd"],
            text="BillingPeriodStart is before BillingPeriodEnd, which is exclusive.",
        ),
        Rule(
            id="OWN-BillingPeriod-002",
            column="BillingPeriodStart",
            level="must",
            check=["apart", ["InvoiceIssuerName", "BillingAccountId"], "BillingPeriodStart", "BillingPeriodEnd"],
            text="Billing periods of one account are equal or do not overlap.",
        ),
        Rule(
            id="OWN-Charge-001",
            column="x_ChargeId",
            level="must",
            check=["!=", "x_ChargeId", None],
            text="Every charge has an id.",
        ),
        Rule(
            id="OWN-Charge-002",
            column="x_ChargeId",
            level="must",
            check=["unique", ["x_ChargeId"]],
            when=["!=", "x_ChargeId", None],
            text="No charge appears twice.",
        ),
        Rule(
            id="OWN-Charge-003",
            column="x_ChargeId",
            level="should",
            check=["unique", list(IDENTITY)],
            when=["!=", "BilledCost", 0],
            text="No two charges have the same content under two ids.",
        ),
        Rule(
            id="OWN-InvoiceCurrency-001",
            column="BillingCurrency",
            level="must",
            check=["one_per", "InvoiceId", "BillingCurrency"],
            text="An invoice has one BillingCurrency.",
        ),
        Rule(
            id="OWN-Credit-001",
            column="ChargeCategory",
            level="must",
            check=["linked", ["BillingAccountId", "ServiceName", "BillingPeriodStart"]],
            when=["=", "ChargeCategory", "Credit"],
            text="A credit has a charge of its account, service and billing period that it belongs to.",
        ),
        Rule(
            id="OWN-InvoiceIssuer-001",
            column="InvoiceIssuerName",
            level="must",
            check=["in", "InvoiceIssuerName", sorted(set(issuers))],
            text="InvoiceIssuerName is a name of the registry of providers.",
        ),
    ]
