"""Every pipeline that makes charges has a verdict of the gate, and the public validators agree."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.conftest import ROOT
from tests.e2e.demo_all.conftest import Everything
from tests.referees.opinions import lint_violations, required, validator_failures

BILLS = {  # that come as files
    "focus/import",
    *(f"cloud/{cloud}/cost/{name}" for cloud in ("aws", "azure", "oci") for name in ("billing", "focus_convert")),
}
# Who issues these bills is not in the registry of providers; Microsoft is, for Azure OpenAI, and AWS sells commitments.
OF_OTHERS = {
    *(name for name in BILLS if "azure" not in name and "aws" not in name),
    "subscription/costs/subscription_cost",
}
OF_GOOGLE = {"cloud/gcp/cost/billing", "cloud/gcp/cost/focus_convert"}
_UNKNOWN = {f"CAU-{cost}-C-00{number}-M" for cost in ("ListCost", "ContractedCost") for number in (3, 4)}
UNPRICED = {  # sources without prices, and raw tables that have rows of one; what is waived for it
    **{f"cloud/aws/cost/{name}": _UNKNOWN for name in ("billing", "cost_explorer", "focus_convert")},
    **{f"cloud/azure/cost/{name}": _UNKNOWN for name in ("billing", "cost_query", "focus_convert")},
    "openrouter/cost/usage_cost": {
        *("OWN-SkuPriceId-C-005-C", "OWN-PricingCategory-C-004-C", "OWN-PricingQuantity-C-005-C"),
        *("OWN-ListUnitPrice-C-005-C", "OWN-ContractedUnitPrice-C-006-C", "OWN-ConsumedQuantity-C-006-C"),
        "OWN-PricingCurrencyListUnitPrice-C-005-C",
    },
}


def test_every_pipeline_that_makes_charges_has_a_verdict(everything: Everything) -> None:
    checked = {name: each["focus"] for name, each in everything.by_name().items() if each.get("focus")}
    assert {
        "openai/cost/usage_cost",
        "openai/subscriptions",
        "genai/payg/gemini",
        "genai/commitment/commitment_cost",
        *BILLS,
        *OF_OTHERS,
        *OF_GOOGLE,
    } <= checked.keys()
    for name, (found,) in checked.items():
        if name in UNPRICED:
            assert set(found["waived"]) == UNPRICED[name], name
            assert found["verdict"] == ("warned" if name.startswith("cloud/") else "passed"), name
            continue
        failed, word = (["OWN-InvoiceIssuer-001"], "warned") if name in OF_OTHERS else ([], "passed")
        assert (found["failed"], found["waived"]) == (failed, []), name
        assert found["verdict"] == ("empty" if name == "genai/payg/deepseek" else word), name
    run = everything.by_name()["openai/cost/usage_cost"]
    status = everything.json("status", run["run_id"])
    assert status["focus"] == run["focus"]
    steps = {step["step_id"]: step for step in status["steps"]}
    assert steps["validate_focus"]["rows_processed"] == steps["validate_focus"]["rows_written"] > 300
    assert "FOCUS: passed (" in everything.call("status", run["run_id"]).stdout
    stored = "SELECT status, COUNT(*) AS n FROM org_meta_focus_results WHERE rule_id = '*' GROUP BY status"
    assert {row["status"] for row in everything.json("query", "demo", stored)["rows"]} == {"passed", "warned", "empty"}


# Rules of the model that are wrong themselves: docs/focus.md says why.
MISTAKEN = [
    "CAU-CapacityReservationStatus-C-004-C",
    "CAU-CommitmentDiscountStatus-C-003-C",
    "CAU-CommitmentDiscountStatus-C-004-C",
    "CAU-ContractAppliedObject-O-010-M",
    "CAU-ContractAppliedObject-O-017-C",
    "CAU-ContractAppliedObject-O-039-C",
    "CAU-ContractAppliedObject-O-065-C",
    "CAU-EffectiveCost-C-005-C",
    "CAU-PricingCurrencyContractedUnitPrice-C-012-C",
    "CAU-ResourceType-C-005-C",
]


def test_the_public_validators_find_what_is_wrong_with_themselves_and_nothing_else(
    everything: Everything, tmp_path: Path
) -> None:
    required()
    file = tmp_path / "charges.parquet"
    # Some sources have no prices (docs/focus.md).
    checked = "SELECT * FROM cost_data_standard_1_3 WHERE x_Provider <> 'openrouter' AND ListCost IS NOT NULL"
    everything.call("query", "demo", checked, "--parquet", str(file))
    rules, failed = validator_failures(file, tmp_path / "validator")
    assert (rules, failed) == (764, MISTAKEN)
    text = (ROOT / "docs/focus.md").read_text("utf-8")
    documented = set(re.findall(r"`(CAU-\w+-[CO]-\d+-\w)`", text))
    assert {*MISTAKEN, *WITHOUT_PRICES} <= documented


# Of bills without prices: what the gate waives or warns of (docs/focus.md), and units that Cost Explorer names.
WITHOUT_PRICES = [
    "CAU-ConsumedQuantity-C-009-C",
    "CAU-ConsumedUnit-C-003-O",
    "CAU-ContractedCost-C-003-M",
    "CAU-ContractedCost-C-004-M",
    "CAU-ListCost-C-003-M",
    "CAU-ListCost-C-004-M",
    "CAU-PricingCategory-C-012-C",
]


def test_charges_without_prices_break_the_rules_that_the_gate_names_and_no_other(
    everything: Everything, tmp_path: Path
) -> None:
    required()
    file = tmp_path / "charges.parquet"
    everything.call("query", "demo", "SELECT * FROM cost_data_standard_1_3", "--parquet", str(file))
    rules, failed = validator_failures(file, tmp_path / "validator")
    assert (rules, failed) == (764, sorted([*MISTAKEN, *WITHOUT_PRICES]))
    assert lint_violations(file) == ["ProviderName", "PublisherName"]
    named = "SELECT DISTINCT rule_id FROM org_meta_focus_results WHERE status IN ('waived', 'failed')"
    of_the_gate = {row["rule_id"] for row in everything.json("query", "demo", named)["rows"]}
    assert set(WITHOUT_PRICES) - of_the_gate == {"CAU-ConsumedUnit-C-003-O"}
