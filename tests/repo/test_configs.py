"""The files under configs/ keep the naming rules, the standard they claim, and the source they were made from."""

from __future__ import annotations

import csv
import json
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from convergence.config.catalog import Catalog
from convergence.config.files.models import DatasetTypes
from convergence.config.files.naming_rules import load_naming
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.processors.ps_types import is_installed

CONFIGS = Path(__file__).parents[2] / "configs"
PIPELINES = sorted(path for path in CONFIGS.rglob("*.yml") if path.parent.name != "system")
SCHEMAS = TableSchemas(CONFIGS)
NAMING = load_naming(CONFIGS)
ACTIONS = {"extract", "transform", "load", "validate", "notify", "decrypt", "store", "seed"}
ACTIONS |= {"calculate", "consolidate", "convert", "delete", "run"}
MONEY = ("cost", "price", "amount", "quantity")

# Name → "M" (mandatory, never null), "m" (mandatory, may be null) or "".
FOCUS = {
    line.partition(" ")[0]: line.partition(" ")[2]
    for line in (Path(__file__).parent / "focus_1_3_columns.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
}


def pipelines() -> list[Any]:
    return [pytest.param(path, id=path.relative_to(CONFIGS).as_posix()) for path in PIPELINES if "steps" in load(path)]


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return data


@pytest.mark.parametrize("path", pipelines())
def test_only_the_gate_publishes_charges(path: Path) -> None:
    """And it replaces those of the raw table that they are made of (docs/focus.md)."""
    steps = load(path)["steps"]
    publishing = [each for each in steps if each.get("destination", {}).get("table") == "cost_data_standard_1_3"]
    assert {each["ps_type"] for each in publishing} <= {"generic.focus_gate"}
    bills = [each["config"]["table"] for each in steps if each["ps_type"] == "cloud.focus_converter"]
    kinds = [(each["config"]["kind"], each["config"]["bill_table"]) for each in publishing if bills]
    assert kinds == [("bill", table) for table in bills]


@pytest.mark.parametrize("path", pipelines())
def test_a_pipeline_names_its_schema_in_the_first_line(path: Path) -> None:
    up = "../" * (len(path.relative_to(CONFIGS).parts) - 1)
    first = path.read_text("utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={up}pipeline.schema.json"


@pytest.mark.parametrize("path", pipelines())
def test_a_pipeline_id_is_the_path_in_kebab_case_behind_the_org(path: Path) -> None:
    kebab = "-".join(path.relative_to(CONFIGS).with_suffix("").parts).replace("_", "-")
    assert load(path)["pipeline_id"] == "{org_slug}-" + kebab


@pytest.mark.parametrize("path", pipelines())
def test_steps_are_called_action_and_target_and_their_processors_exist(path: Path) -> None:
    for step in load(path)["steps"]:
        assert NAMING.step_problem(step["step_id"]) is None
        assert is_installed(step["ps_type"]), step["ps_type"]


@pytest.mark.parametrize("path", pipelines())
def test_every_table_of_a_pipeline_has_a_schema_file(path: Path) -> None:
    pipeline = load(path)
    written = [step["destination"]["table"] for step in pipeline["steps"] if "destination" in step]
    inferred = {step["destination"]["table"] for step in pipeline["steps"] if "schema" in step.get("destination", ())}
    assert set(written) - inferred <= set(SCHEMAS.paths)
    assert written == [] or set(written) == set(pipeline["output_tables"])


@pytest.mark.parametrize("table", sorted(SCHEMAS.paths))
def test_a_table_schema_loads_and_describes_every_column(table: str) -> None:
    schema = SCHEMAS.get(table)
    assert schema.description
    assert [column.name for column in schema.columns if not column.description] == []


@pytest.mark.parametrize("table", sorted(SCHEMAS.paths))
def test_a_table_is_called_provider_domain_granularity_state(table: str) -> None:
    assert NAMING.table_problem(table) is None


def test_the_rules_are_the_missions() -> None:
    rules = DatasetTypes.model_validate(load(CONFIGS / "system/dataset_types.yml"))
    assert {one.name: one.model_extra for one in rules.dataset_types}["org"] == {"dataset": "{org}_{env}"}
    assert set(rules.step_actions) == ACTIONS
    assert rules.tables is not None
    assert set(rules.tables.reference) <= set(SCHEMAS.paths), "a table that is gone"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai_usage", "is not called {provider}_{domain}_{granularity}_{state}"),
        (
            "openai_usage_dayly_raw",
            "'dayly' is not a known granularity (hourly, daily, monthly). Did you mean 'daily'?",
        ),
        ("openai_usage_daily_cooked", "'cooked' is not a known state"),
        ("OpenAI_usage_daily_raw", "is not called"),
        ("org_meta_pipeline_runs", None),
        ("openai_usage_daily_raw", None),
    ],
)
def test_the_name_of_a_table_is_checked(name: str, message: str | None) -> None:
    found = NAMING.table_problem(name)
    assert found is message if message is None else message in str(found)


def test_validate_warns_of_names_and_refuses_none(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system/dataset_types.yml").write_bytes((CONFIGS / "system/dataset_types.yml").read_bytes())
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/things.yml").write_text("steps: [{step_id: fetch_things, ps_type: generic.noop}]", "utf-8")
    report = Catalog(tmp_path).validate()
    assert report.ok
    assert [warning.where for warning in report.warnings] == ["acme/things.yml:1:10"]
    assert "'fetch' is not a known action" in report.warnings[0].message


def test_validate_warns_of_what_is_declared_and_not_active_yet(tmp_path: Path) -> None:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts/none.yml").write_text("version: 1\nalerts: []", "utf-8")
    report = Catalog(tmp_path).validate()
    found = sorted(str(warning) for warning in report.warnings)
    assert [text.partition(" ")[0] for text in found] == ["alerts/none.yml:"]
    assert all("not active yet" in text for text in found)


def test_the_standard_table_has_the_65_columns_of_focus_1_3_and_then_ours() -> None:
    columns = SCHEMAS.get("cost_data_standard_1_3").columns
    assert len(FOCUS) == 65
    assert [column.name for column in columns[:65]] == list(FOCUS)
    assert all(column.name.startswith("x_") for column in columns[65:])


def test_mandatory_columns_of_focus_refuse_null() -> None:
    required = {column.name for column in SCHEMAS.get("cost_data_standard_1_3").columns if column.mode == "REQUIRED"}
    unknown = {"ListCost", "ContractedCost"}  # not every bill says them, and 0 would be a price
    assert required == {name for name, level in FOCUS.items() if level == "M"} - unknown


def test_money_and_quantities_are_decimals_in_every_table() -> None:
    floats = [
        (table, column.name)
        for table in SCHEMAS.paths
        for column in SCHEMAS.get(table).columns
        if column.type in {"FLOAT", "FLOAT64"} and any(word in column.name.lower() for word in MONEY)
    ]
    assert floats == []


@pytest.mark.parametrize(
    ("provider", "name"),
    [("openai", "model_pricing"), ("openai", "subscription_plans"), ("anthropic", "model_pricing")],
)
def test_a_seed_has_exactly_the_columns_of_its_table(provider: str, name: str) -> None:
    with (CONFIGS / provider / f"seed/{name}.csv").open(encoding="utf-8", newline="") as lines:
        header = next(csv.reader(lines))
    file = CONFIGS / provider / f"seed/{provider}_{name}.json"
    assert header == [field["name"] for field in json.loads(file.read_text("utf-8"))["fields"]]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_no_two_prices_hold_at_once(provider: str) -> None:
    held: dict[tuple[str, ...], list[tuple[date, date]]] = {}
    with (CONFIGS / provider / "seed/model_pricing.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            key = (row["model"], row["kind"], row["processing"], row["above_input_tokens"], row["region"])
            first = date.fromisoformat(row["effective_from"] or "0001-01-01")
            held.setdefault(key, []).append((first, date.fromisoformat(row["effective_to"] or "9999-12-31")))
            assert Decimal(row["price"]) >= 0
    for named, spans in held.items():
        spans.sort()
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), named


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_the_price_list_is_what_the_package_gives_today(provider: str) -> None:
    pytest.importorskip("genai_prices", reason="the package the list is made from is not installed")
    from convergence.processors.genai.prices.make_list import price_list

    assert (CONFIGS / provider / "seed/model_pricing.csv").read_text("utf-8") == price_list(provider), (
        "run: python -m convergence.processors.genai.prices.make_list openai anthropic"
    )
