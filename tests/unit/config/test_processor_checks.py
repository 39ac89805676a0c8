"""What a step's processor says to its config."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.checks.processors import check_processors
from tests.unit.config.builders import a_pipeline

LOADS = "ps_type: generic.bq_execute, config: {query: SELECT 1}"
STEP = "steps:\n  - step_id: run_it\n    ps_type: generic.procedure_executor\n    config: "


def problems(config: str) -> list[str]:
    return [str(problem) for problem in check_processors(a_pipeline(STEP + config), "embedded")[0]]


@pytest.mark.parametrize(
    "config",
    [
        "{procedure: sp_x}",
        "{procedure: '{anything}', params: {a: 1}}",
        "{procedure: {name: sp_x}, parameters: [{name: p, value: '{date}', optional: true}]}",
        "{procedure: sp_x, parameters: '{all_parameters}'}",
    ],
)
def test_a_config_that_fits_its_model_is_right(config: str) -> None:
    assert problems(config) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{}", "tests/one.yml:5:5: steps[0].config.procedure: procedure is missing"),
        ("{procedure: {dataset: d}}", "config.procedure.name: name is missing"),
        ("{procedure: sp_x, parameters: [{name: p, optional: perhaps}]}", "parameters[0].optional"),
        ("{procedure: [a]}", "config.procedure: procedure must be"),
    ],
)
def test_a_config_that_does_not_fit_is_reported_with_its_place(config: str, message: str) -> None:
    assert message in problems(config)[0]


def test_a_long_step_that_cannot_pause_is_a_mistake_only_for_deployed_functions() -> None:
    loaded = a_pipeline("steps: [{step_id: run_it, ps_type: generic.noop, timeout_minutes: 20}]")
    assert [len(found) for found in check_processors(loaded, "embedded")] == [0, 1]
    (problem,) = check_processors(loaded, "gcp")[0]
    assert "1200 s are more than 480 s, and 'generic.noop' cannot pause" in str(problem)


def test_the_default_timeout_asks_for_nothing() -> None:
    assert check_processors(a_pipeline(""), "gcp") == ([], [])


@pytest.mark.parametrize(
    ("second", "warned"),
    [
        (f"{LOADS}, destination: {{table: t}}", True),
        (f"{LOADS}, destination: {{table: t, write_mode: WRITE_TRUNCATE}}", True),
        (f"{LOADS}, destination: {{table: t, write_mode: append}}", False),
        (f"{LOADS}, destination: {{table: t, key_fields: [id]}}", False),
        (f"{LOADS}, destination: {{table: u}}", False),
        (f"{LOADS}, destination: {{table: t}}, when: parameters.x", False),
        ("ps_type: generic.procedure_executor, config: {procedure: sp_x}, destination: {table: t}", False),
    ],
)
def test_two_steps_that_replace_the_same_rows_are_a_warning(second: str, warned: bool) -> None:
    first = f"{{step_id: load_a, {LOADS}, destination: {{table: t}}}}"
    declared = "parameters: {x: {type: boolean, default: true}}\n"
    loaded = a_pipeline(f"{declared}steps: [{first}, {{step_id: load_b, {second}}}]")
    problems, warnings = check_processors(loaded, "embedded")
    assert problems == []
    replaced = [one for one in warnings if "'load_a' replaces the run's days of 't' too" in str(one)]
    assert len(replaced) == warned


def test_a_procedure_that_no_file_defines_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "system" / "procedures" / "acme" / "sp_hello.sql"
    file.parent.mkdir(parents=True)
    file.touch()

    def warned(config: str) -> list[str]:
        loaded = a_pipeline(STEP + config)
        return [str(each) for each in check_processors(loaded, "embedded", configs_dir=tmp_path)[1]]

    assert warned("{procedure: sp_hello}") == warned("{procedure: {name: organizations.sp_hello}}") == []
    assert warned("{procedure: '{anything}'}") == []
    [warning] = warned("{procedure: {name: sp_helo}}")
    assert "steps[0].config.procedure: no file below system/procedures defines 'sp_helo'" in warning
    assert "Did you mean 'sp_hello'?" in warning


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("api.acme.example/v1", True),
        ("http://api.acme.example/v1", True),
        ("ftp://api.acme.example/v1", True),
        ("https://user:pw@api.acme.example", True),
        ("https://api.acme.example/v1", False),
        ("http://127.0.0.1:8123/v1", False),
        ("{api_base_url}/v1", False),
    ],
)
def test_an_address_that_no_call_would_go_to_is_a_mistake_of_the_file(url: str, refused: bool) -> None:
    step = f"""steps:
  - step_id: extract_it
    ps_type: generic.api_extractor
    config: {{url: "{url}", pagination: {{type: none}}}}
    destination: {{table: acme_x}}
"""
    found = [str(problem) for problem in check_processors(a_pipeline(step), "embedded")[0]]
    assert [text.startswith("tests/one.yml:5:14: steps[0].config.url: ") for text in found] == [True] * refused, found


@pytest.mark.parametrize(
    ("to", "refused"),
    [
        ("['ann']", ["config.to_emails[0]: 'ann' is not a mail address: write it as name@example.com"]),
        ("'ann, bob@acme.example'", ["config.to_emails[0]: 'ann' is not a mail address: write it as name@example.com"]),
        ("['ann@acme.example', '{admin_email}']", []),
        ("'{admin_email}, ops@acme.example'", []),
    ],
)
def test_a_text_that_is_no_mail_address_is_a_mistake_of_the_file(to: str, refused: list[str]) -> None:
    step = f"""steps:
  - step_id: mail_it
    ps_type: notify_systems.email_notification
    config: {{to_emails: {to}, subject: x}}
"""
    found = [str(problem) for problem in check_processors(a_pipeline(step), "embedded")[0]]
    assert [text.split(": steps[0].")[1] for text in found] == refused
