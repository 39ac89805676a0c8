"""From a file to the model, all mistakes at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from convergence.config.loader import load_pipeline, parse_pipeline
from convergence.errors import ConfigErrors, NotFound
from tests.unit.config.builders import VALID, a_pipeline


def test_a_loaded_pipeline_knows_its_file_and_digest() -> None:
    file = VALID / "saas" / "seat_cost.yml"
    loaded = load_pipeline(file, VALID)
    assert (loaded.path, loaded.file) == ("saas/seat_cost", "saas/seat_cost.yml")
    assert loaded.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert loaded.where(("steps", 1, "ps_type")) == "saas/seat_cost.yml:27:5"


def test_a_missing_file_is_reported_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Pipeline not found: a/b"):
        load_pipeline(tmp_path / "a" / "b.yml", tmp_path)


def test_mistakes_of_all_kinds_come_at_once_and_in_order() -> None:
    body = """pipeline_id: "{org_slug}-x"
tags: one
schedule: "61 * * * *"
colour: red
steps:
  - {step_id: a, ps_type: generic.noop, timeout_minutes: 02:00}
  - {step_id: b, ps_type: generic.nop, depends_on: aa, when: "1 +", config: {x: "{org_slgu}", query: "{date}"}}
"""
    with pytest.raises(ConfigErrors) as caught:
        parse_pipeline(body, "a/b")
    lines = [int(problem.where.split(":")[1]) for problem in caught.value.problems]
    assert lines == sorted(lines)
    assert [lines.count(line) for line in (2, 3, 4, 6, 7)] == [1, 1, 1, 2, 5]


def test_the_same_mistake_is_reported_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        a_pipeline("variables: {x: 1}\ntags: [1, 2]\n")
    assert len({str(problem) for problem in caught.value.problems}) == len(caught.value.problems) == 2


def test_a_name_that_will_be_asked_for_is_not_a_mistake() -> None:
    assert a_pipeline('variables: {x: "{anything_else}"}').warnings == ()


@pytest.mark.parametrize("name", ["one", "a/b/c/d/e", "a/b c", "a/../b"])
def test_the_path_has_two_to_four_segments(name: str) -> None:
    with pytest.raises(ConfigErrors, match="is not a pipeline path"):
        a_pipeline("", name)


def test_a_pipeline_id_is_made_from_the_path() -> None:
    loaded = parse_pipeline("steps: [{step_id: a, ps_type: generic.noop}]", "open_ai/cost/usage_cost")
    assert loaded.pipeline.pipeline_id == "{org_slug}-open-ai-cost-usage-cost"
    assert loaded.warnings == ()


def test_a_wide_graph_is_checked_quickly_enough_to_be_tested() -> None:
    rows = "".join(f"  - {{step_id: s{n}, ps_type: generic.noop, depends_on: [first]}}\n" for n in range(500))
    join = f"  - {{step_id: last, ps_type: generic.noop, depends_on: [{', '.join(f's{n}' for n in range(500))}]}}\n"
    loaded = a_pipeline("steps:\n  - {step_id: first, ps_type: generic.noop}\n" + rows + join)
    assert len(loaded.prepared.steps) == 502
    assert len(loaded.prepared.steps[0].fixed["children"]) == 500


STEP = "steps: [{step_id: run_hello, ps_type: generic.noop, config: {x: %s}}]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ date | upper }}", "{{ date | upper }}"),
        ("{{ env_var('X') }}/{date}", "{{ env_var('X') }}"),
        ("{% if force_refresh %}a{% endif %}", "{% if force_refresh %}"),
        ("{date", "{date"),
        ("{date}/{ org_slug/x", "{ org_slug/x"),
        ("{date:%Y-%m}", "{date:%Y-%m}"),
        ("{date+1}", "{date+1}"),
        ("{{ " + "x|" * 40 + " }}", "{{ x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|x|…"),
    ],
)
def test_what_looks_like_a_template_and_is_not_one_is_a_warning(text: str, shown: str) -> None:
    [warning] = parse_pipeline(STEP % f'"{text}"', "acme/usage/hello").warnings
    assert warning.path == "steps[0].config.x"
    assert warning.message.startswith(f"{shown!r} looks like a template but is not one")


def warned(config: str) -> list[str]:
    """The warnings of a step with this config."""
    text = f"steps:\n  - step_id: extract_pages\n    ps_type: generic.noop\n    config: {config}\n"
    return [str(warning) for warning in parse_pipeline(text, "acme/daily", file="daily.yml").warnings]


@pytest.mark.parametrize("text", ["${HOME}/x", "https://x.example/{API_HOST}"])
def test_a_variable_of_the_environment_is_reported_with_its_place(text: str) -> None:
    (warning,) = warned(f'{{path: "{text}"}}')
    assert warning.startswith("daily.yml:4:")
    assert "environment variables are not read" in warning


@pytest.mark.parametrize(
    "config",
    [
        '{headers: {Authorization: "Bearer abcdef1234567890"}}',
        '{body: {client: {api_key: "a1b2c3d4e5f6a7b8"}}}',
        '{anything: ["sk-abcdefghijklmnop123"]}',
        '{params: {access_token: "0123456789abcdef"}}',
    ],
)
def test_a_credential_in_plain_text_is_reported_and_not_shown(config: str) -> None:
    (warning,) = warned(config)
    assert "looks like a credential" in warning
    assert not any(secret in warning for secret in ("abcdef1234567890", "a1b2c3d4", "sk-abc", "0123456789"))


@pytest.mark.parametrize(
    "config",
    [
        '{headers: {Authorization: "Bearer {token}"}}',
        "{auth: {type: bearer, provider: acme, secret_key: api_key}}",
        "{pagination: {token_param: pageToken, response_path: nextPageToken}}",
        '{params: {token_type: bearer, max_tokens: "100000"}}',
        '{note: "{date}"}',
    ],
)
def test_what_only_names_a_credential_draws_no_warning(config: str) -> None:
    assert warned(config) == []


@pytest.mark.parametrize(
    "text",
    [
        *("{date}", "{{date}}", "${date}/{ org_slug }", "{}", "{0}", "{a, b}", r"\d{4}", r"\{date}", "a { b }"),
        *('{"date": {"a": 1}}', "query { usage(day: 1) { amount } }", "body {color: red}", "{a: 1, date: 2}"),
    ],
)
def test_plain_text_with_braces_is_not_warned_about(text: str) -> None:
    assert parse_pipeline(STEP % f"'{text}'", "acme/usage/hello").warnings == ()


def test_jinja_in_sql_is_warned_about_too() -> None:
    body = (
        'steps: [{step_id: run_sql, ps_type: generic.bq_execute, config: {query: "SELECT {% if x %} 1 {% endif %}"}}]'
    )
    [warning] = parse_pipeline(body, "acme/usage/hello").warnings
    assert "looks like a template" in str(warning)


def test_a_mapping_with_a_value_or_an_unknown_key_is_not_taken_for_a_template() -> None:
    assert not parse_pipeline(STEP % "{date: null, b: 1}", "acme/usage/hello").warnings
    assert not parse_pipeline(STEP % "{date: 1}", "acme/usage/hello").warnings
    assert not parse_pipeline(STEP % "{anything: null}", "acme/usage/hello").warnings


@pytest.mark.parametrize(("word", "meant"), [("NO", "false"), ("yes", "true"), ("Off", "false")])
def test_words_that_yaml_reads_as_booleans_are_warned_about(word: str, meant: str) -> None:
    warnings = parse_pipeline(f"parameters: {{country: {word}}}\n" + STEP % "1", "acme/usage/hello").warnings
    expected = f'acme/usage/hello.yml:1:23: YAML reads {word} as {meant}: write {meant}, or "{word}" if it is text'
    assert [str(warning) for warning in warnings] == [expected]
    assert (
        parse_pipeline(f'parameters: {{country: "{word}", b: true}}\n' + STEP % "False", "acme/usage/hello").warnings
        == ()
    )


def test_a_channel_without_a_name_that_is_known_is_warned_about() -> None:
    body = "notifications: {on_failure: [mail, slack], on_success: none}\n" + STEP % "1"
    [warning] = parse_pipeline(body, "acme/usage/hello").warnings
    assert "no channel is called 'mail', so nothing is sent there. Did you mean 'email'?" in str(warning)


def test_the_authors_own_keys_at_the_top_hold_anchors() -> None:
    body = "x-retry: &often {max_attempts: 4}\nsteps: [{step_id: run_hello, ps_type: generic.noop, retry: *often}]"
    loaded = parse_pipeline(body, "acme/usage/hello")
    assert (loaded.pipeline.steps[0].retry.max_attempts, loaded.warnings) == (4, ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("api_key: sk-1", "'api_key' is a secret: secrets do not belong in files"),
        ("regoin: eu", "no parameter is called 'regoin'. Did you mean 'region'?"),
    ],
)
def test_what_a_schedule_cannot_give_its_runs_is_a_mistake_of_the_file(given: str, message: str) -> None:
    body = f"""parameters: {{api_key: {{type: secret}}, region: eu}}
schedule:
  cron: "0 1 * * *"
  parameters:
    region: us
    {given}
"""
    with pytest.raises(ConfigErrors) as caught:
        a_pipeline(body)
    [problem] = caught.value.problems
    assert message in problem.message
    assert problem.where == "tests/one.yml:7:5"
    assert "sk-1" not in str(caught.value)


def test_a_schedule_may_give_what_a_caller_may() -> None:
    a_pipeline(
        """parameters: {region: eu}
variables: {size: 5}
schedule: {cron: "0 1 * * *", parameters: {region: us, size: 6, start_date: TODAY-3, force_refresh: true}}
"""
    )
    with pytest.raises(ConfigErrors, match="no parameter is called 'any'"):
        a_pipeline('schedule: {cron: "0 1 * * *", parameters: {any: 1}}')
