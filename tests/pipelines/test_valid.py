"""Every construct that users' files contain today loads, and means what it should."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from convergence.config.catalog import Catalog
from convergence.config.model.json_schema import pipeline_json_schema
from convergence.config.resolve import resolve_end_step, resolve_results
from convergence.config.yaml.source import read_yaml
from convergence.domain.plan import Plan
from convergence.processors.generic.landing.settings import LandingTarget, SchemaSettings
from tests.unit.config.builders import VALID, a_plan

CATALOG = Catalog(VALID)
PROFILE = {"billing_export_table": "their-project.billing.export_v1", "admin_email": "boss@example.com"}
GIVEN: dict[str, dict[str, Any]] = {"declared/everything": {"rows": 7}}


def plan_of(name: str, **given: Any) -> Plan:
    return a_plan(CATALOG.get(name), {**GIVEN.get(name, {}), **given}, profile=PROFILE)


@pytest.mark.parametrize("name", CATALOG.names())
def test_each_file_loads_and_resolves_to_json(name: str) -> None:
    plan = plan_of(name)
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan


@pytest.mark.parametrize("name", CATALOG.names())
def test_the_json_schema_accepts_what_the_loader_accepts(name: str) -> None:
    data = read_yaml((VALID / f"{name}.yml").read_bytes(), name).data
    jsonschema.Draft202012Validator(pipeline_json_schema()).validate(data)


def test_identity_has_two_to_four_segments_and_aliases_lead_to_it() -> None:
    assert CATALOG.get("gcp/cost/export").path == "cloud/gcp/cost/export"
    assert CATALOG.get("saas/seat_cost").pipeline.provider == "saas"
    assert CATALOG.get("cloud/gcp/cost/export").pipeline.domain == "cost"


def test_the_current_form_keeps_timeouts_retries_and_channels() -> None:
    pipeline = CATALOG.get("llm/payg/tokens").pipeline
    step = pipeline.steps[0]
    assert (step.timeout_s, step.retry.max_attempts, step.retry.backoff_seconds) == (240, 3, 45)
    assert pipeline.notifications.on_failure == ("email", "slack")
    assert pipeline.notifications.on_success == ()
    assert pipeline.schedule is not None
    assert pipeline.schedule.timezone == "Europe/Berlin"


def test_a_variable_that_names_itself_means_the_outer_scope() -> None:
    plan = plan_of("saas/seat_cost")
    assert plan.variables["bucket"] == "eu-acme"
    assert plan.by_id["show_names"].config["config"] == {"from": "eu-acme", "month": "2026-03"}


def test_sql_gets_parameters_and_checked_identifiers() -> None:
    plan = plan_of("cloud/gcp/cost/export")
    query = plan.by_id["extract_export"].config["source"]["query"]
    assert "DATE(export_time) >= @start_date AND usage_date <= @end_date" in query["sql"]
    assert "PARSE_DATE('%Y-%m-%d', @date)" in query["sql"]
    assert "FROM `their-project.billing.export_v1`" in query["sql"]
    assert query["parameters"]["start_date"] == {"type": "DATE", "value": "2026-03-04"}
    assert query["parameters"]["date"] == {"type": "STRING", "value": "2026-03-04"}
    assert query["parameters"]["org_slug"] == {"type": "STRING", "value": "acme"}


def test_a_hand_written_parameter_is_bound_unless_the_step_gives_it() -> None:
    query = plan_of("cloud/gcp/cost/export").by_id["delete_days"].config["config"]["query"]
    assert query["parameters"] == {"start_date": {"type": "DATE", "value": "2026-03-04"}}
    assert "-- {org_slug} stays" in query["sql"]


def test_fields_that_are_added_are_text_unless_they_have_templates() -> None:
    added = plan_of("cloud/gcp/cost/export").by_id["extract_export"].config["transform"]["add_fields"]
    assert added["source_api"] == "billing"
    assert added["x_org"] == {"sql": "@org_slug", "parameters": {"org_slug": {"type": "STRING", "value": "acme"}}}
    assert added["loaded_for"]["sql"] == "@date"


def test_a_switch_written_as_text_is_a_boolean() -> None:
    assert plan_of("cloud/gcp/cost/export").by_id["decrypt_credentials"].enabled is True
    off = plan_of("cloud/gcp/cost/export", own_credentials="false").by_id["decrypt_credentials"]
    assert off.enabled is False


def test_an_end_step_is_filled_when_the_run_has_ended() -> None:
    plan = plan_of("cloud/gcp/cost/export")
    handler = resolve_end_step(plan.end_steps[0], plan, {"failed_step": "extract_export", "error_message": "{date}!"})
    assert handler.config["config"]["to_emails"] == ["boss@example.com", "ops@example.com"]
    assert handler.config["config"]["message"] == (
        "acme-gcp-export of 2026-03-04 stopped at extract_export:\n{date}!\n"
    )


def test_an_absent_optional_procedure_parameter_is_null() -> None:
    parameters = plan_of("procedures/consolidate").steps[0].config["config"]["parameters"]
    assert [entry["value"] for entry in parameters] == ["project-1", "2026-03-04", None, None]
    assert plan_of("procedures/consolidate", note="x").steps[0].config["config"]["parameters"][3]["value"] == "x"


def test_the_project_in_an_endpoint_is_the_customers() -> None:
    plan = plan_of("rest/buckets")
    assert "{project_id} is not in the org's profile" in (plan.steps[0].problem or "")
    theirs = a_plan(CATALOG.get("rest/buckets"), profile={"project_id": "their-project"}).steps[0].config["config"]
    assert theirs["endpoint"] == "/storage/v1/b?project=their-project"
    assert theirs["body"] == '{"filter": {"day": "2026-03-04"}, "empty": {}, "format": "{name}"}'
    assert theirs["params"]["query"] == "state = LIVE"


def test_the_single_processor_form_is_one_step() -> None:
    loaded = CATALOG.get("older/one_processor")
    step = loaded.pipeline.steps[0]
    assert (step.step_id, step.ps_type) == ("run_one_processor", "openai.usage")
    assert step.destination == {"table": "openai_usage_daily_raw", "dataset": "{dataset}"}
    assert (loaded.pipeline.name, loaded.pipeline.version) == ("OpenAI by day", "1.10")
    assert loaded.pipeline.parameters["lookback_days"].type == "integer"
    assert plan_of("older/one_processor").core["start_date"] == "2026-03-01"
    assert loaded.where(("steps", 0, "destination")).startswith("older/one_processor.yml:14:")


def test_older_words_of_a_step_are_translated() -> None:
    first, second, third = CATALOG.get("older/step_words").pipeline.steps
    assert first.ps_type == third.ps_type == "gcp.bq_etl"
    assert first.destination == {"table": "prices_raw", "write_mode": "overwrite"}
    assert (first.retry.max_attempts, first.retry.backoff_seconds) == (3, 5)
    assert (second.ps_type, second.on_failure) == ("generic.dq_check", "continue")
    assert second.config == {"dq_config": "older/checks/prices.yml"}
    assert third.on_failure == "stop"


def test_an_older_condition_is_pinned_with_the_given_value() -> None:
    plan = plan_of("older/conditions", operation="bootstrap")
    assert plan.by_id["check_keys"].when == "('bootstrap' == 'check') or ('bootstrap' == 'bootstrap')"
    problem = plan.by_id["decrypt_key"].problem or ""
    assert "{key_to_decrypt} has no value" in problem, "the step may never run, so the run is not refused"


def test_an_older_transformer_gets_typed_sql_and_a_write_mode() -> None:
    step = plan_of("older/transformer").by_id["transform_final"]
    assert step.ps_type == "generic.local_bq_transformer"
    sql = step.config["config"]["transformation"]["sql"]
    assert "`project-1.acme_prod.example_usage_raw`" in sql["sql"]
    assert sql["parameters"] == {"start_date": {"type": "DATE", "value": "2026-03-04"}}
    assert step.config["destination"] == {
        "table": "example_usage_final",
        "write_mode": "append",
        "schema_ref": "schemas/usage.json",
    }


def test_what_stands_inside_config_is_moved_to_its_block() -> None:
    plan = plan_of("older/inside_config", again="true")
    decrypt, listed, seed = (plan.by_id[name].config for name in ("decrypt_key", "list_buckets", "seed_prices"))
    assert (plan.provider, decrypt["config"]["provider"]) == ("gcp", "gcp")
    assert plan.by_id["list_buckets"].ps_type == "generic.api_extractor"
    assert listed["config"]["auth"] == {"type": "google"}
    assert listed["destination"] == {"table": "buckets_raw", "batch_size": 200, "write_mode": "append"}
    assert listed["transform"]["flatten"] is True
    assert listed["transform"]["add_fields"]["day"]["parameters"]["date"]["value"] == "2026-03-04"
    assert listed["config"]["url"].endswith("?day=2026-03-05")
    assert seed == {
        "config": {},
        "source": {"file": "openai/seed/model_pricing.csv"},
        "destination": {"table": "openai_model_pricing"},
    }
    assert CATALOG.get("older/inside_config").pipeline.integration_required == ("openai",)


def test_a_recipient_without_a_value_is_left_out_and_the_step_can_run() -> None:
    mail = plan_of("older/inside_config").by_id["mail_failure"]
    assert mail.problem is None
    assert mail.config["config"]["to_emails"] == [None, "ops@example.com"]


def test_notification_settings_beside_config_are_moved_into_it() -> None:
    plan = plan_of("older/mails")
    assert [step.trigger for step in plan.end_steps] == ["on_failure", "on_success", "on_completion", "always"]
    ended = {"status": "failed", "finished_at": "2026-03-05T02:00:00Z"}
    mail = resolve_end_step(plan.end_steps[0], plan, ended).config["config"]
    assert mail["to_emails"] == "admin@example.com"
    assert mail["message"] == "failed at 2026-03-05T02:00:00Z"


def test_whole_templates_keep_their_type_and_results_come_later() -> None:
    plan = plan_of("declared/everything")
    config = plan.by_id["transform_values"].config["config"]
    assert (config["rows"], config["limits"], config["ratio"]) == (7, {"rows": 10, "ratio": 0.5}, 0.5)
    assert config["text"] == '7 rows of hello acme in ["a","b"]'
    later = resolve_results(plan.by_id["load_values"], {"transform_values": {"written": 1, "rows_written": 12}})
    assert later.config == {"config": {"written": 12}}


@pytest.mark.parametrize(
    ("name", "cron", "enabled"),
    [
        ("timed/monthly", "10 5 1 * *", True),
        ("timed/monthly_day", "0 0 15 * *", True),
        ("timed/hourly", "20 * * * *", True),
        ("timed/default_cron", "0 3 * * 1-5", True),
        ("older/one_processor", "0 5 * * *", False),
        ("saas/seat_cost", "30 4 * * *", True),
        ("cloud/gcp/cost/export", "0 4 * * *", True),
    ],
)
def test_every_spelling_of_a_schedule_is_a_cron(name: str, cron: str, enabled: bool) -> None:
    schedule = CATALOG.get(name).pipeline.schedule
    assert schedule is not None
    assert (schedule.cron, schedule.enabled) == (cron, enabled)


def test_yaml_keeps_versions_dates_and_merged_keys() -> None:
    plan = plan_of("written/yaml")
    assert CATALOG.get("written/yaml").pipeline.version == "1.10"
    assert plan.steps[1].config["config"] == {"since": "2026-01-01", "note": "own", "answer": True, "nothing": None}


def test_only_names_between_braces_are_templates() -> None:
    config = plan_of("written/braces").steps[0].config["config"]
    assert config["forms"] == "value value value value value value"
    assert config["literal"] == '{} {0} {"a": 1} {a b} {a-b} {,} \\d{4} }{ {{}} $1 %{}'
    assert config["escaped"] == "{name} ${name} {{name}} \\value C:\\dir"
    assert config["inside"] == '{"day": value}'


def test_every_older_name_of_a_processor_is_known() -> None:
    names = {step.ps_type for step in CATALOG.get("named/spellings").pipeline.steps}
    assert names == {
        *("generic.procedure_executor", "gcp.bq_etl", "cloud.aws.cur_extractor", "cloud.azure.cost_extractor"),
        *("cloud.oci.cost_extractor", "cloud.focus_converter", "openai.usage", "anthropic.usage"),
        *("generic.api_extractor", "generic.local_bq_transformer"),
    }


def test_a_destination_may_be_written_as_its_table() -> None:
    pipeline = CATALOG.get("written/short").pipeline
    assert pipeline.steps[1].destination == {"table": "named_3_raw"}
    assert LandingTarget.model_validate(pipeline.steps[0].destination).landing == SchemaSettings(mode="infer")
