"""`convergence demo --all` in a process of its own: every shipped pipeline, sums by independent computations, twice."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.catalog import Catalog
from convergence.sandbox import anthropic, bill
from tests.e2e.conftest import ROOT, Installation
from tests.unit.processors.expected_costs import FIRST, LAST, expected

DAYS = ("--start", FIRST.isoformat(), "--end", LAST.isoformat())
OF_USAGE = "FROM cost_data_standard_1_3 WHERE x_Processing IS NOT NULL"  # seats have none
BY_PROVIDER = f"SELECT x_Provider AS provider, SUM(BilledCost) AS cost {OF_USAGE} GROUP BY 1"


class Everything(Installation):
    """An installation on which the demo of all pipelines ran twice."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.first, self.second = (self.json("demo", "--all", *DAYS) for _ in range(2))

    def by_name(self) -> dict[str, Any]:
        return {each["pipeline"]: each for each in self.second["pipelines"]}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Everything:
    return Everything(tmp_path_factory.mktemp("all") / "data")


def test_every_shipped_pipeline_runs_here_and_completes(everything: Everything) -> None:
    found = {name: each["status"] for name, each in everything.by_name().items()}
    assert set(found) == set(Catalog(ROOT / "configs").names())
    assert set(found.values()) == {"completed"}, found


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "vertex", "azure_openai"])
def test_a_providers_charges_are_those_of_the_raw_figures_to_the_last_decimal(
    everything: Everything, provider: str
) -> None:
    rows = everything.json("query", "demo", BY_PROVIDER)["rows"]
    assert {row["provider"]: Decimal(row["cost"]) for row in rows}[provider] == expected(provider) > 5


def test_several_pipelines_of_one_provider_count_its_days_once(everything: Everything) -> None:
    reported = everything.by_name()
    whole = expected("openai")
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
    assert everything.second["totals"] == everything.first["totals"]
    assert len(everything.second["totals"]) == 5


def test_the_screen_has_a_line_for_each_pipeline(everything: Everything) -> None:
    screen = everything.call("demo", "--all", *DAYS).stdout
    for name in everything.by_name():
        assert f"{name} " in screen
    assert "each day of a provider once" in screen


def billed_by_the_sandbox(provider: str) -> dict[tuple[str, str], Decimal]:
    """The raw bill by day and model; a line without a model is of the model ""."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for number in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=number)
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        if provider == "OpenAI":
            for charge in bill.charges(start, start + 86_400):
                sums[day.isoformat(), charge.line_item.rpartition(", ")[0]] += charge.amount
        else:
            for line, amount in anthropic.charges(start, start + 86_400):
                sums[day.isoformat(), line["model"]] += amount
    return sums


def test_the_question_of_the_documents_is_answered_for_every_charge(everything: Everything) -> None:
    text = (ROOT / "docs/data.md").read_text("utf-8")
    sql = text.partition("```sql\n")[2].partition("```")[0]
    rows = everything.json("query", "demo", sql)["rows"]
    charges = int(everything.json("query", "demo", "SELECT COUNT(*) AS n FROM cost_data_standard_1_3")["rows"][0]["n"])
    assert len(rows) == charges
    answers = defaultdict(set)
    for row in rows:
        answers[row["ProviderName"]].add(row["answer"])
    assert answers == {
        "OpenAI": {"matched", "over", "contract"},
        "Anthropic": {"matched"},
        **{name: {"provider_bill"} for name in ("Google", "Google Cloud", "Microsoft")},
    }
    for provider in ("OpenAI", "Anthropic"):
        raw = billed_by_the_sandbox(provider)
        of_usage = [row for row in rows if row["ProviderName"] == provider and row["answer"] != "contract"]
        assert {row["x_pipeline_id"] for row in of_usage} != {row["compared_by"] for row in of_usage}
        for row in of_usage:
            if row["x_Model"]:
                key = row["ChargePeriodStart"][:10], row["x_Model"]
                assert Decimal(row["billed_cost"]) == raw[key], key


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
