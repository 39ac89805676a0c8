"""Files that are not pipelines: each kind has its place and its own model."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from convergence.config.checks.validation import validate
from convergence.config.files.kinds import Kind, kind_of
from convergence.errors import ConfigError

ALERTS = """
version: "1.0"
alerts:
  - id: spend_500
    name: "Spend over 500"
    schedule: {cron: "0 8 * * *", timezone: UTC}
    source: {type: bigquery, query_template: total_costs, params: {period: current_month}}
    conditions:
      - {field: total_cost, operator: gt, value: 500, unit: USD}
    recipients: {type: org_owners}
    notification: {template: threshold, severity: warning, channels: [email, slack], slack: {channel: "#cost"}}
    cooldown: {enabled: true, hours: 24, scope: org}
    tags: [cost]
"""
NOTIFIER = """
ps_type: notify_systems.email_notification
name: Mail
required_params: [to_emails]
optional_params: [subject, message]
supported_triggers: [on_failure, on_success, on_completion, always]
"""
NOTIFICATIONS = """{
  "enabled": true, "default_provider": "email",
  "email": {"smtp_host": "mail.example.com", "smtp_username": "${SMTP_USERNAME}", "to_emails": ["a@example.com"]},
  "event_triggers": [{"event": "pipeline_failure", "enabled": true, "severity": "error", "providers": ["email"]}],
  "retry_config": {"max_attempts": 3}, "timeout_seconds": 30
}"""
PROVIDERS = """
providers:
  OPENAI: {type: llm, credential_type: API_KEY, display_name: OpenAI, api_base_url: "https://api.openai.com/v1"}
provider_groups: {llm: [OPENAI]}
aliases: {openai: OPENAI}
defaults: {http_timeout: 15.0}
"""
DATASETS = "dataset_types: [{name: organization_dataset, layer: unified, supported_tables: {t: {cluster_fields: []}}}]"
PLANS = "free: {daily: 10, monthly: 100, concurrent: 1}\n"

GOOD = {
    "alerts/cost.yml": ALERTS,
    "notify_systems/email_notification/config.yml": NOTIFIER,
    "notifications/config.json": NOTIFICATIONS,
    "system/providers.yml": PROVIDERS,
    "system/dataset_types.yml": DATASETS,
    "system/plans.yml": PLANS,
    "a/schemas/t.json": '[{"name": "x", "type": "STRING"}]',
    "system/procedures/a/p.sql": "CREATE OR REPLACE PROCEDURE p() BEGIN SELECT 1; END",
}


def problems(root: Path, name: str, text: str) -> list[str]:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return [str(problem) for problem in validate(root, [file]).problems]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("openai/cost/usage.yml", Kind.PIPELINE),
        ("cloud/gcp/cost/billing.yaml", Kind.PIPELINE),
        ("notify_systems/mail/other.yml", Kind.PIPELINE),
        ("alerts/cost.yml", Kind.ALERTS),
        ("notify_systems/mail/config.yml", Kind.NOTIFIER),
        ("notifications/config.json", Kind.NOTIFICATIONS),
        ("system/providers.yml", Kind.PROVIDERS),
        ("system/dataset_types.yml", Kind.DATASET_TYPES),
        ("system/plans.yml", Kind.PLANS),
        ("system/schemas/t.json", Kind.TABLE_SCHEMA),
        ("openai/seed/prices.json", Kind.TABLE_SCHEMA),
        ("system/procedures/x/sp.sql", Kind.PROCEDURE),
        ("openai/seed/prices.csv", Kind.OTHER),
        ("pipeline.schema.json", Kind.OTHER),
        ("system/migrations/1.sql", Kind.MIGRATION),
        ("system/reports/by_team.sql", Kind.REPORT),
        ("system/views/billed.sql", Kind.VIEW),
        ("system/sql/notes.sql", Kind.OTHER),
        ("openai/checks/usage.yml", Kind.OTHER),
        ("openai/usage/checks.yml", Kind.PIPELINE),
    ],
)
def test_a_file_is_what_its_place_says(path: str, kind: Kind) -> None:
    assert kind_of(PurePosixPath(path)) is kind


@pytest.mark.parametrize("name", GOOD)
def test_a_right_file_of_each_kind_has_no_problem(tmp_path: Path, name: str) -> None:
    assert problems(tmp_path, name, GOOD[name]) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("alerts/cost.yml", "operator: gt", "operator: more", "alerts/cost.yml:9:29: alerts[0].conditions[0].operator"),
        ("alerts/cost.yml", "cooldown", "cool_down", "alerts/cost.yml:12:5: alerts[0].cool_down: 'cool_down' is not"),
        ("alerts/cost.yml", "0 8 * * *", "0 8 * *", "a cron expression needs five fields"),
        ("alerts/cost.yml", "timezone: UTC", "timezone: UCT1", "no time zone is called 'UCT1'"),
        ("alerts/cost.yml", "channels: [email, slack]", "channels: email", "channels must be a list, not 'email'"),
        ("notify_systems/m/config.yml", "on_success", "on_sucess", "supported_triggers[1]"),
        ("notifications/config.json", '"providers": ["email"]', '"provider": []', "notifications/config.json:4:"),
        ("system/providers.yml", "[OPENAI]", "[OPENIA]", "no provider is called 'OPENIA'. Did you mean 'OPENAI'?"),
        ("system/providers.yml", "type: llm, ", "", "system/providers.yml:3:3: providers.OPENAI.type: type is missing"),
        ("system/dataset_types.yml", "name: organization_dataset, ", "", "name is missing"),
        ("system/plans.yml", "free: {daily: 10, monthly: 100, concurrent: 1}", "[free]", "a mapping"),
        ("system/procedures/a/p.sql", GOOD["system/procedures/a/p.sql"], " ", "the procedure's file is empty"),
        ("a/schemas/t.json", "STRING", "STRNIG", "t.json"),
    ],
)
def test_a_mistake_is_reported_with_its_place(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    good = next(text for key, text in GOOD.items() if kind_of(PurePosixPath(key)) is kind_of(PurePosixPath(name)))
    assert old in good
    found = problems(tmp_path, name, good.replace(old, new, 1))
    assert message in found[0]


def test_two_alerts_of_one_id_are_a_mistake(tmp_path: Path) -> None:
    one = ALERTS.split("alerts:\n")[1]
    assert "must differ: spend_500" in problems(tmp_path, "alerts/cost.yml", ALERTS + one)[0]


def test_mistakes_are_errors_of_config(tmp_path: Path) -> None:
    file = tmp_path / "system" / "plans.yml"
    file.parent.mkdir()
    file.write_text("a: 02:00")
    problem = validate(tmp_path, [file]).problems[0]
    assert isinstance(problem, ConfigError)
