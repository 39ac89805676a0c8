"""Every shipped pipeline runs, its figures are independent computations, and a second run changes nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from convergence.config.catalog import Catalog
from tests.e2e.conftest import ROOT
from tests.e2e.demo_all.conftest import CHARGES, Everything
from tests.e2e.demo_all.sandbox_bills import billed_by_the_sandbox
from tests.unit.processors.expected_costs import FIRST, LAST, expected

TO_COPY = {"example/usage/example_elt_pipeline", "slack/auth/setup"}  # the API and the webhook are the reader's own
OF_USAGE = "FROM cost_data_standard_1_3 WHERE x_UsageKind <> 'subscription'"
BY_PROVIDER = (
    f"SELECT x_Provider AS provider, SUM(BilledCost) AS cost {OF_USAGE} AND x_CostOrigin <> 'residual' GROUP BY 1"
)
# What makes other rows than it reads: charges of usage, days of contracts, comparisons; or loads none at all.
MAKES_OTHERS = {
    *("anthropic.cost", "openai.cost", "genai.payg_cost", "genai.reprice", "subscription.daily_cost"),
    *("anthropic.reconciliation", "openai.reconciliation", "genai.price_refresh", "genai.focus", "genai.unified"),
    *("generic.procedure_executor", "generic.local_bq_transformer", "generic.dq_check", "generic.focus_export"),
    *("focus.allocate", "openai.subscriptions", "subscription.plans", "subscription.rates", "integrations.kms_store"),
    *("genai.commitment_terms", "genai.contract_commitment", "genai.commitment_usage", "genai.commitment_cost"),
    *("genai.infrastructure_usage", "genai.infrastructure_cost"),
}


def test_every_shipped_pipeline_runs_here_and_completes(everything: Everything) -> None:
    found = {name: each["status"] for name, each in everything.by_name().items()}
    assert set(found) == set(Catalog(ROOT / "configs").names())
    assert {name for name, status in found.items() if status != "completed"} <= TO_COPY, found


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "vertex", "azure_openai"])
def test_a_providers_charges_are_those_of_the_raw_figures_to_the_last_decimal(
    everything: Everything, provider: str
) -> None:
    rows = everything.json("query", "demo", BY_PROVIDER)["rows"]
    assert {row["provider"]: Decimal(row["cost"]) for row in rows}[provider] == expected(provider) > 5


def test_the_screen_ends_with_the_comparison_of_each_billing_period(everything: Everything) -> None:
    sql = (
        "SELECT x_Provider AS provider, BillingCurrency AS currency, SUM(BilledCost) AS cost"
        " FROM cost_data_standard_1_3 WHERE COALESCE(x_CostOrigin, '') <> 'residual' AND ChargeCategory <> 'Tax'"
        f" AND DATE(BillingPeriodStart) = '{FIRST.replace(day=1)}' GROUP BY 1, 2"
    )
    rows = everything.json("query", "demo", sql)["rows"]
    charged = {(row["provider"], row["currency"]): Decimal(row["cost"]) for row in rows}
    compared: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for each in everything.second["periods"]:
        compared[each["provider"], each["currency"]] += Decimal(each["computed"])
    assert dict(compared) == charged
    ends = (
        "All charges of the org in cost_data_standard_1_3",
        "Verdict of the table: ",
        "Charges against bill and inv",
    )
    places = [everything.screen.index(each) for each in ends]
    assert places == sorted(places)


def test_the_table_has_one_verdict_the_worst_of_its_sources(everything: Everything) -> None:
    said = {each["status"]: set(each["named"].split(", ")) for each in everything.second["verdicts"]}
    of_pipelines = {
        (found["source"], found["verdict"])
        for each in everything.second["pipelines"]
        for found in each.get("focus", ())
    }
    assert {source for sources in said.values() for source in sources} == {source for source, _ in of_pipelines}
    assert all((source, status) in of_pipelines for status, sources in said.items() for source in sources)
    assert everything.second["verdict"] == next(
        each for each in ("stopped", "quarantined", "warned", "passed", "empty") if each in said
    )
    charges = sum(int(each["charges"]) for each in everything.second["totals"])
    assert f"Verdict of the table: {everything.second['verdict']}, {charges} charges (" in everything.screen


def test_no_charge_of_the_days_is_missing_by_day_and_team(everything: Everything) -> None:
    sql = (
        "SELECT COUNT(*) AS charges, COUNT(part.charge_id) AS read FROM cost_data_standard_1_3 AS charge"
        " LEFT JOIN (SELECT DISTINCT charge_date, charge_id FROM unified_cost_daily) AS part"
        " ON part.charge_date = charge.x_pipeline_run_date AND part.charge_id = charge.x_ChargeId"
        f" WHERE DATE(charge.ChargePeriodStart) BETWEEN '{FIRST}' AND '{LAST}'"
    )
    (found,) = everything.json("query", "demo", sql)["rows"]
    assert int(found["read"]) == int(found["charges"]) > 500


def test_several_pipelines_of_one_provider_count_its_days_once(everything: Everything) -> None:
    reported = everything.by_name()
    whole = sum(billed_by_the_sandbox("OpenAI").values(), Decimal(0))
    for name in ("genai/payg/openai", "openai/cost/usage_cost", "openai/cost/cost_calculation"):
        assert Decimal(reported[name]["cost"]["USD"]) == whole, name
    sql = f"SELECT DISTINCT x_pipeline_id {OF_USAGE} AND x_Provider = 'openai'"
    owners = everything.json("query", "demo", sql)["rows"]
    assert [row["x_pipeline_id"] for row in owners] == ["demo-openai-cost-cost-calculation"]


def test_the_bill_is_compared_and_adds_up(everything: Everything) -> None:
    compared = everything.by_name()["openai/cost/usage_cost"]["reconciliation"]
    assert Decimal(compared["billed"]) - Decimal(compared["computed"]) == Decimal(compared["difference"]) != 0
    assert Decimal(compared["computed"]) == expected("openai")
    other = everything.by_name()["anthropic/usage_cost"]["reconciliation"]
    assert (other["difference"], set(other["states"])) == ("0", {"matched"})
    warned = " ".join(everything.by_name()["openai/cost/usage_cost"]["warnings"])
    assert "differ from the bill" in warned
    assert "gpt-image-1" in warned


def test_a_second_time_leaves_the_same_charges(everything: Everything) -> None:
    assert everything.json("query", "demo", CHARGES)["rows"] == everything.first
    assert len(everything.second["totals"]) == 14  # Azure in two currencies


def test_the_screen_has_a_line_for_each_pipeline(everything: Everything) -> None:
    for name in everything.by_name():
        assert f"{name} " in everything.screen
    assert "each day of a provider once" in everything.screen


def test_the_rows_that_every_step_has_read_are_accounted_for(everything: Everything) -> None:
    """read = loaded + quarantined + filtered + duplicate, of all steps that load what they read."""
    closed = set()
    for name, each in everything.by_name().items():
        for step in each.get("steps", ()):
            balance, where = step["balance"], (name, step["step_id"])
            if balance is None:
                done = step["status"] == "completed" and step["rows_processed"] + step["rows_written"] > 0
                assert not done or step["ps_type"] in MAKES_OTHERS, where
                continue
            closed.add(step["ps_type"])
            read, *parts = balance.values()
            assert list(balance) == ["read", "loaded", "quarantined", "filtered", "duplicate"]
            assert read == sum(parts) == step["rows_processed"], where
            assert balance["loaded"] == step["rows_written"], where
    assert {
        *("generic.focus_gate", "generic.file_extractor", "generic.api_extractor", "cloud.focus_converter"),
        *("cloud.aws.cur_extractor", "cloud.aws.cost_explorer", "cloud.azure.cost_query", "gcp.bq_etl"),
        *("openai.usage", "openai.billing", "anthropic.usage", "anthropic.billing", "gcp.api_extractor"),
    } <= closed


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_consolidation_takes_every_priced_row_and_the_others_are_set_aside(
    everything: Everything, provider: str
) -> None:
    owner = f"SELECT DISTINCT x_pipeline_id FROM genai_cost_daily_unified WHERE provider = '{provider}'"
    sql = (
        "SELECT COUNTIF(cost IS NOT NULL) AS priced, COUNTIF(cost IS NULL) AS unpriced,"
        f" (SELECT COUNT(*) FROM genai_cost_daily_unified WHERE provider = '{provider}') AS consolidated,"
        f" (SELECT COUNT(*) FROM org_meta_quarantine_rows WHERE table_name = '{provider}_cost_daily') AS aside"
        f" FROM {provider}_cost_daily WHERE x_pipeline_id IN ({owner})"
    )
    (found,) = everything.json("query", "demo", sql)["rows"]
    assert found["priced"] == found["consolidated"] > 0
    assert found["unpriced"] == found["aside"]


def test_re_pricing_shows_days_and_changes_nothing_by_itself(everything: Everything) -> None:
    words = ("demo", "anthropic", "--from", FIRST.isoformat(), "--to", LAST.isoformat())
    found = everything.json("reprice", *words)
    assert [found["applied"], found["changes"], found["difference"]] == [False, [], "0"]
    assert Decimal(found["before"]) == expected("anthropic")
    assert [day["usage_date"] for day in found["days"]] == [date(2026, 11, day).isoformat() for day in range(10, 14)]
    assert "Nothing would change." in everything.call("reprice", *words).stdout
    refused = everything.call(
        "reprice", "demo", "antropic", "--from", "2026-11-10", "--to", "2026-11-10", "--json", code=2
    )
    assert "genai/reprice/anthropic" in json.loads(refused.stderr)["error"]["message"]
