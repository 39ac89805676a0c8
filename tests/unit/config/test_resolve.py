"""From a pipeline to its pinned plan."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from convergence.config.resolve import resolve, resolve_end_step, resolve_results
from convergence.domain.plan import PlanStep
from convergence.errors import ConfigErrors, StepFailed
from tests.unit.config.builders import a_pipeline, a_plan, a_request, a_step, config_of


def refused(body: str, **given: Any) -> str:
    with pytest.raises(ConfigErrors) as caught:
        a_plan(a_pipeline(body), given)
    return str(caught.value)


def test_the_built_in_names_are_pinned() -> None:
    core = a_plan(a_pipeline(""), credential_id="cred_1").core
    assert core == {
        **dict.fromkeys(("org_slug", "tenant_id"), "acme"),
        **dict.fromkeys(("env", "environment"), "prod"),
        **dict.fromkeys(("project_id", "gcp_project_id", "project"), "project-1"),
        **dict.fromkeys(("org_dataset", "dataset"), "acme_prod"),
        **dict.fromkeys(("date", "run_date", "pipeline_run_date", "yesterday"), "2026-03-04"),
        "fire_date": "2026-03-05",
        **dict.fromkeys(("start_date", "end_date"), "2026-03-04"),
        "year": "2026",
        "month": "03",
        "day": "04",
        "start_ts": "2026-03-04T00:00:00Z",
        "end_ts": "2026-03-04T23:59:59.999999Z",
        "run_id": "run_1",
        "credential_id": "cred_1",
        "provider": "tests",
        "domain": "",
        "pipeline": "tests/one",
        "pipeline_id": "acme-tests",
    }


def test_yesterday_is_counted_in_the_schedules_zone() -> None:
    loaded = a_pipeline('schedule: {cron: "0 9 * * *", timezone: Pacific/Auckland}')
    core = a_plan(loaded, {"date": "2026-01-01"}, fire_time=datetime(2026, 3, 4, 20, tzinfo=UTC)).core
    assert (core["date"], core["yesterday"]) == ("2026-01-01", "2026-03-04")


def test_steps_come_in_an_order_in_which_they_could_run_and_end_steps_last() -> None:
    plan = a_plan(
        a_pipeline(
            """
steps:
  - {step_id: mail, ps_type: generic.noop, trigger: always}
  - {step_id: d, ps_type: generic.noop, depends_on: [b, c]}
  - {step_id: b, ps_type: generic.noop, depends_on: a}
  - {step_id: c, ps_type: generic.noop, depends_on: [a, a]}
  - {step_id: a, ps_type: generic.noop}
"""
        )
    )
    assert [step.step_id for step in plan.steps] == ["a", "b", "c", "d", "mail"]
    assert [step.children for step in plan.steps] == [("b", "c"), ("d",), ("d",), (), ()]
    assert plan.by_id["c"].depends_on == ("a",)
    assert plan.by_id["d"].where == "tests/one.yml:5"


def test_defaults_of_a_step_are_those_of_the_plan() -> None:
    step = a_plan(a_pipeline("")).steps[0]
    assert step == PlanStep(step_id="only_step", ps_type="generic.noop", where="tests/one.yml:4")


def test_parts_without_templates_are_shared_between_plans() -> None:
    loaded = a_step('{fixed: {a: [1]}, live: "{run_id}"}')
    one, two = a_plan(loaded), a_plan(loaded, run_id="run_2")
    assert (one.steps[0].config["config"]["live"], two.steps[0].config["config"]["live"]) == ("run_1", "run_2")
    assert one.steps[0].config["config"]["fixed"] is two.steps[0].config["config"]["fixed"]


def test_a_given_parameter_comes_before_the_files_variable_and_what_follows_from_it() -> None:
    loaded = a_step('{x: "{folder}"}', 'variables: {region: eu, folder: "{region}/{org_slug}"}')
    assert config_of(loaded) == {"x": "eu/acme"}
    assert config_of(loaded, {"region": "us"}) == {"x": "us/acme"}
    assert a_plan(loaded, {"region": "us"}).variables == {"region": "us", "folder": "us/acme"}


def test_a_variable_hides_a_built_in_name_and_may_use_it() -> None:
    loaded = a_step('{x: "{dataset}"}', 'variables: {dataset: "{dataset}_archive"}')
    assert config_of(loaded) == {"x": "acme_prod_archive"}


def test_names_may_be_dotted() -> None:
    more = 'variables: {deep: {a: 1}}\nparameters: {mode: {default: "m-{org_slug}"}}'
    loaded = a_step('{a: "{deep.a}", b: "{variables.deep}", c: "{parameters.mode}", d: "{parameters.date}"}', more)
    assert config_of(loaded) == {"a": 1, "b": {"a": 1}, "c": "m-acme", "d": "2026-03-04"}


def test_a_name_without_a_source_is_refused_with_its_place_and_its_cause() -> None:
    body = 'variables: {region_name: "{regions}"}\nsteps:\n  - step_id: a\n    ps_type: generic.noop\n'
    message = refused(body + '    config: {x: ["{region_name}"]}')
    assert message.startswith("tests/one.yml:6:18: steps[0].config.x[0]: {regions} has no value")
    assert "(the variable 'region_name' needs it)" in message


def test_all_names_without_a_value_are_reported_at_once() -> None:
    body = 'steps:\n  - {step_id: a, ps_type: generic.noop, config: {x: "{one} {two}"}}\n'
    body += '  - {step_id: b, ps_type: generic.noop, config: {x: "{three}"}}'
    message = refused(body)
    assert [f"{{{name}}} has no value" in message for name in ("one", "two", "three")] == [True] * 3


def test_an_unused_variable_needs_no_value() -> None:
    assert a_plan(a_pipeline('variables: {unused: "{nothing_here}"}')).variables == {}


def test_what_only_the_profile_can_give_fails_only_the_step_that_needs_it() -> None:
    loaded = a_pipeline(
        """
variables: {table: "{billing_export_table}"}
steps:
  - {step_id: a, ps_type: generic.noop, config: {x: "{table}"}}
  - {step_id: b, ps_type: generic.noop, config: {x: 1}}
  - {step_id: c, ps_type: generic.noop, enabled: false, config: {x: "{billing_export_table}"}}
"""
    )
    a, b, c = a_plan(loaded).steps
    assert "{billing_export_table} is not in the org's profile" in (a.problem or "")
    assert a.problem is not None
    assert a.problem.startswith("tests/one.yml:5:")
    assert (b.problem, c.problem, c.enabled) == (None, None, False)
    assert config_of(loaded, profile={"billing_export_table": "t"}) == {"x": "t"}


def test_a_step_with_a_condition_that_lacks_a_value_fails_only_when_it_starts() -> None:
    loaded = a_pipeline(
        'steps:\n  - {step_id: a, ps_type: generic.noop, when: "{mode} == \'x\'", config: {x: "{extra}"}}'
    )
    step = a_plan(loaded).steps[0]
    assert step.when == "null == 'x'"
    assert "{extra} has no value" in (step.problem or "")


def test_a_condition_is_pinned_but_for_parameters_and_results() -> None:
    loaded = a_pipeline(
        """
variables: {limit: 5, text: "it's"}
parameters: {mode: {default: fast}}
steps:
  - {step_id: a, ps_type: generic.noop}
  - step_id: b
    ps_type: generic.noop
    depends_on: a
    when: "{limit} > 1 and variables.text == 'x' and results.a.rows > 0 and parameters.mode == 'fast'"
"""
    )
    assert a_plan(loaded).by_id["b"].when == (
        r"(5 > 1) and ('it\'s' == 'x') and (results.a.rows > 0) and (parameters.mode == 'fast')"
    )


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("False", False), (True, True)])
def test_a_switch_may_be_a_template(text: Any, expected: bool) -> None:
    loaded = a_pipeline('steps:\n  - {step_id: a, ps_type: generic.noop, enabled: "{run_it}"}')
    assert a_plan(loaded, {"run_it": text}).steps[0].enabled is expected


def test_a_switch_must_come_out_as_a_boolean() -> None:
    body = 'steps:\n  - {step_id: a, ps_type: generic.noop, enabled: "{run_it}"}'
    assert "enabled resolves to 'maybe'" in refused(body, run_it="maybe")
    assert "{run_it} has no value" in refused(body)


def test_a_dependency_on_a_disabled_step_stays_in_the_graph() -> None:
    plan = a_plan(
        a_pipeline(
            "steps:\n  - {step_id: a, ps_type: generic.noop, enabled: false}\n"
            "  - {step_id: b, ps_type: generic.noop, depends_on: a}"
        )
    )
    assert (plan.by_id["a"].enabled, plan.by_id["b"].depends_on) == (False, ("a",))


def test_a_value_that_looks_like_a_template_is_not_filled_again() -> None:
    loaded = a_step('{x: "{label}", y: "a {label}"}')
    plan = a_plan(loaded, {"label": "{results.only_step.rows} {org_slug}"})
    assert resolve_results(plan.steps[0], {}).config["config"] == {
        "x": "{results.only_step.rows} {org_slug}",
        "y": "a {results.only_step.rows} {org_slug}",
    }


def test_an_identifier_from_a_parameter_is_checked() -> None:
    body = 'steps:\n  - {step_id: a, ps_type: generic.noop, config: {query: "SELECT 1 FROM `{table}`"}}'
    assert "is not an identifier" in refused(body, table="x` WHERE 1=1 --")


RESULTS = a_pipeline(
    """
steps:
  - {step_id: a, ps_type: generic.noop}
  - {step_id: b, ps_type: generic.noop, depends_on: a}
  - step_id: c
    ps_type: generic.noop
    depends_on: b
    config:
      whole: "{results.a.rows}"
      part: "{org_slug} has {results.b.rows} rows"
      fixed: {deep: [1, {x: "{results.a.names}"}]}
      query: "SELECT '{results.a.day}', '{org_slug}'"
"""
)


def test_results_of_ancestors_are_filled_when_the_step_starts() -> None:
    plan = a_plan(RESULTS)
    planned = plan.by_id["c"]
    assert planned.needs == ("b", "a")
    answers: dict[str, dict[str, Any]] = {"a": {"rows": 3, "names": ["x"], "day": "2026-01-01"}, "b": {"rows": 4}}
    config = resolve_results(planned, answers).config["config"]
    assert (config["whole"], config["part"]) == (3, "acme has 4 rows")
    assert config["fixed"] == {"deep": [1, {"x": ["x"]}]}
    assert config["query"]["sql"] == "SELECT @results_a_day, @org_slug"
    assert config["query"]["parameters"]["results_a_day"] == {"type": "STRING", "value": "2026-01-01"}


def test_filling_results_leaves_the_plan_as_it_was() -> None:
    plan = a_plan(RESULTS)
    before = json.dumps(plan.to_data())
    resolve_results(plan.by_id["c"], {"a": {"rows": 3, "names": [], "day": "x"}, "b": {"rows": 4}})
    assert json.dumps(plan.to_data()) == before


def test_a_result_that_a_step_did_not_give_is_reported() -> None:
    with pytest.raises(StepFailed, match=r"tests/one.yml:6: {results.a.rows} has no value"):
        resolve_results(a_plan(RESULTS).by_id["c"], {"a": {}, "b": {}})


def test_a_step_without_late_names_is_handed_back_as_it_is() -> None:
    step = a_plan(RESULTS).by_id["a"]
    assert resolve_results(step, {}) is step


def test_an_end_step_may_name_the_results_of_every_step() -> None:
    loaded = a_pipeline(
        """
steps:
  - {step_id: a, ps_type: generic.noop}
  - {step_id: mail, ps_type: generic.noop, trigger: always, config: {x: "{results.a.rows} rows, {status}"}}
"""
    )
    plan = a_plan(loaded)
    ended = {"status": "completed", "results": {"a": {"rows": 5}}}
    assert resolve_end_step(plan.end_steps[0], plan, ended).config["config"] == {"x": "5 rows, completed"}
    assert resolve_end_step(plan.end_steps[0], plan, {}).config["config"] == {"x": " rows, "}


def test_the_credential_of_the_request_is_the_one_that_rows_will_carry() -> None:
    loaded = a_step('{x: "{credential_id}"}')
    assert config_of(loaded, {"credential_id": "given"}) == {"x": "given"}
    assert config_of(loaded, {"credential_id": "given"}, credential_id="chosen") == {"x": "chosen"}


def test_an_optional_value_is_never_blamed_for_what_another_lacks() -> None:
    body = 'steps:\n  - {step_id: a, ps_type: generic.noop, config: {y: "{missing}", parameters: '
    message = refused(body + '[{name: p, optional: true, value: "{absent}"}]}}')
    assert "{missing} has no value" in message
    assert "{absent}" not in message


def test_resolving_twice_gives_equal_plans() -> None:
    request = a_request(RESULTS)
    assert resolve(RESULTS, request) == resolve(RESULTS, request)


def test_a_date_in_two_braces_is_the_day_on_which_the_run_starts() -> None:
    loaded = a_step('{one: "{date}", two: "{{date}}", three: "of {{ date }}"}')
    assert config_of(loaded) == {"one": "2026-03-04", "two": "2026-03-05", "three": "of 2026-03-05"}
    assert config_of(loaded, {"date": "2026-01-01"})["two"] == "2026-03-05"
