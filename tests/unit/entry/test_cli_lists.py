"""What there is: pipelines, their parameters, tables; what a plan shows of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.engine.views.plan import tables_of
from tests.unit.entry.conftest import Cli

ASKED = """
pipeline_id: "{org_slug}-shop-asked"
provider: shop
parameters:
  mode: {type: string, default: fast, allowed: [fast, thorough], description: How to look.}
  since: {type: date, required: true}
steps:
  - step_id: sum_orders
    ps_type: generic.bq_execute
    config:
      query: |
        WITH recent AS (SELECT * FROM `{org_dataset}.shop_orders_daily_raw` WHERE day = '{since}')
        SELECT * FROM recent JOIN shop_customers USING (id) -- FROM nothing
"""


@pytest.fixture
def asked(acme: Cli, configs: Path) -> Cli:
    """The command, with a pipeline that declares parameters and reads tables."""
    (configs / "shop" / "asked.yml").write_text(ASKED)
    return acme


def test_pipelines_are_listed_with_a_broken_files_first_mistake(asked: Cli, configs: Path) -> None:
    (configs / "shop" / "broken.yml").write_text("steps: [{step_id: a, ps_type: generic.nop}]\n")
    listed = asked("pipelines", "--json").data["pipelines"]
    by_name = {row["name"]: row for row in listed}
    assert by_name["shop/asked"]["provider"] == "shop"
    assert "shop/broken.yml:1" in by_name["shop/broken"]["problem"]
    assert {row["name"] for row in asked("pipelines", "shop", "--json").data["pipelines"]} >= {
        "shop/asked",
        "shop/load",
    }
    assert "Did you mean 'shop'?" in asked("pipelines", "shp").err
    assert "openai/cost/usage_cost" in asked("pipelines").out


def test_parameters_are_listed_with_what_is_allowed(asked: Cli) -> None:
    shown = asked("params", "shop/asked").out
    line = next(line for line in shown.splitlines() if line.startswith("mode"))
    assert line.split() == ["mode", "string", "fast", "fast,", "thorough", "How", "to", "look."]
    assert "required" in next(line for line in shown.splitlines() if line.startswith("since"))
    names = [each["name"] for each in asked("params", "shop/asked", "--json").data["parameters"]]
    assert names[:2] == ["mode", "since"]
    assert "credential_id" in names
    assert "Did you mean 'shop/asked'" in asked("params", "shop/askd").err


def test_a_plan_shows_declared_parameters_and_what_a_step_reads(asked: Cli) -> None:
    call = ("plan", "acme", "shop/asked", "-p", "since=2026-11-01")
    shown = asked(*call).out
    assert "fast, thorough" in shown
    assert "How to look." in shown
    assert "reads shop_customers, shop_orders_daily_raw" in " ".join(shown.split())
    plan = asked(*call, "--json").data
    assert plan["steps"][0]["reads"] == plan["tables"]["read"] == ["shop_customers", "shop_orders_daily_raw"]
    assert [each["value"] for each in plan["declared"]] == ["fast", "2026-11-01"]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1", set()),
        ("SELECT * FROM `p-1.d.orders` AS o, UNNEST(o.lines)", {"orders"}),
        ("SELECT 'FROM nothing' FROM `d`.`orders`", {"orders"}),
        ("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b JOIN c ON TRUE", {"c"}),
        ("SELECT * FROM ML.PREDICT(MODEL m, TABLE t)", set()),
    ],
)
def test_the_tables_of_a_statement(sql: str, tables: set[str]) -> None:
    assert tables_of(sql) == tables


def test_tables_are_listed_with_their_columns(acme: Cli) -> None:
    assert acme("run", "acme", "shop/load", "-p", "file=openai/seed/subscription_plans.csv").code == 0
    listed = {each["table"]: each["columns"] for each in acme("tables", "acme", "--json").data["tables"]}
    assert "x_org_slug" in listed["openai_subscription_plans"]
    assert "openai_subscription_plans" in acme("tables", "acme").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_values(
    acme: Cli, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = acme("run", "acme", "example/hello", "--json").data["run_id"]
    for words, expected in (
        ("history ac", "acme"),
        ("run acme example/he", "example/hello"),
        (f"status {run_id[:8]}", run_id),
        ("pipelines deep", "deepseek"),
        ("history acme --status comp", "completed"),
        ("logs --data-dir nowhere run_", ""),
    ):
        monkeypatch.setenv("_CONVERGENCE_COMPLETE", f"{shell}_complete")
        monkeypatch.setenv("COMP_WORDS", f"convergence {words}")
        monkeypatch.setenv("COMP_CWORD", words.split()[-1] if shell == "fish" else str(len(words.split())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            acme()
        shown = capsys.readouterr()
        assert (end.value.code, shown.err) == (0, "")
        assert (expected in shown.out) if expected else shown.out.strip() == "", (words, shown.out)
        monkeypatch.delenv("_CONVERGENCE_COMPLETE")
